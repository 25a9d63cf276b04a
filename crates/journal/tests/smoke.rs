//! x
use session_journal::*;
#[test]
fn smoke() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.journal");
    let name = SessionName::new(Some("main"), "a").unwrap();
    let options = Options { label: "t".into(), ..Options::default() };
    let mut j = Journal::create(&path, &name, &options).unwrap();
    for i in 0..100u32 {
        let a = j.append(&NewRecord::new(format!("record {i}").into_bytes()).key(format!("k{i}")).parent(format!("k{}", i.wrapping_sub(1)))).unwrap();
        assert_eq!(a.sequence.get(), u64::from(i) + 1);
        assert!(a.durable);
    }
    let d = j.append(&NewRecord::new("x").key("k7")).unwrap();
    assert!(d.duplicate && d.sequence.get() == 8, "{d:?}");
    let r = j.reader().unwrap();
    assert_eq!(r.records().map(|r| r.unwrap().sequence.get()).collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());
    assert_eq!(r.backwards().map(|r| r.unwrap().sequence.get()).collect::<Vec<_>>(), (1..=100).rev().collect::<Vec<_>>());
    assert_eq!(r.path_to_root("k50").unwrap().count(), 51);
    let c = j.compact().unwrap();
    println!("{c:?}");
    j.append(&NewRecord::new("after")).unwrap();
    // steal
    let other = Journal::open(&path, &Options::default());
    println!("{}", other.unwrap_err());
    let mut b = Journal::open(&path, &Options { takeover: Takeover::Always, ..Options::default() }).unwrap();
    println!("{:?}", b.opening());
    let e = j.append(&NewRecord::new("late")).unwrap_err();
    println!("{e}");
    assert_eq!(e.kind(), ErrorKind::Fenced);
    b.append(&NewRecord::new("mine")).unwrap();
    drop(j);
    b.close().unwrap();
    let c = Journal::open(&path, &Options::default()).unwrap();
    println!("{:?}", c.opening());
    drop(c);
    let c = Journal::open(&path, &Options::default()).unwrap();
    println!("{:?}", c.opening());
    let r = c.reader().unwrap();
    assert_eq!(r.records().count(), 102);
    c.delete().unwrap();
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none());
}
#[test]
fn speed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.journal");
    let name = SessionName::new(None, "a").unwrap();
    let options = Options { durability: Durability::Written, ..Options::default() };
    let mut j = Journal::create(&path, &name, &options).unwrap();
    let rec = NewRecord::new(vec![b'x'; 1024]);
    let mut t = Vec::new();
    for _ in 0..400_000 { let s = std::time::Instant::now(); j.append(&rec).unwrap(); t.push(s.elapsed().as_nanos()); }
    t.sort();
    println!("append p50 {} p99 {} max {}", t[t.len()/2], t[t.len()*99/100], t[t.len()-1]);
    let f = std::fs::OpenOptions::new().append(true).create(true).open(dir.path().join("raw")).unwrap();
    let mut t = Vec::new();
    for _ in 0..200_000 { let s = std::time::Instant::now(); std::io::Write::write(&mut &f, &rec.payload).unwrap(); t.push(s.elapsed().as_nanos()); }
    t.sort();
    println!("raw p50 {} p99 {} max {}", t[t.len()/2], t[t.len()*99/100], t[t.len()-1]);
    println!("size {}", std::fs::metadata(&path).unwrap().len() as f64 / (400_000.0*1024.0));
    let s = std::time::Instant::now(); j.close().unwrap(); println!("close {:?}", s.elapsed());
    for _ in 0..5 {
    let s = std::time::Instant::now(); let r = Reader::open(&path).unwrap(); println!("ropen {:?}", s.elapsed());
    let s = std::time::Instant::now(); assert_eq!(r.last(100).unwrap().count(), 100); println!("last {:?}", s.elapsed());
    let s = std::time::Instant::now(); let j = Journal::open(&path, &options).unwrap(); println!("open {:?}", s.elapsed()); j.close().unwrap();
    }
    let r = Reader::open(&path).unwrap();
    let s = std::time::Instant::now(); assert_eq!(r.records().count(), 400_000); println!("scan {:?}", s.elapsed());
    let s = std::time::Instant::now(); assert_eq!(r.backwards().count(), 400_000); println!("back {:?}", s.elapsed());
}
