//! y
use session_journal::*;
#[tokio::test]
async fn sessions() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(
        dir.path().join("s"),
        StoreOptions { file_handles_max: 8, ..StoreOptions::default() },
    )
    .unwrap();
    let mut sessions = Vec::new();
    for i in 0..50 {
        let name = SessionName::new(Some("ma:in"), &format!("s/{i} 😀")).unwrap();
        sessions.push(store.create(&name).await.unwrap());
    }
    for round in 0..3 {
        for (i, s) in sessions.iter().enumerate() {
            let a = s.append(format!("{round} {i}").into_bytes()).await.unwrap();
            assert_eq!(a.sequence.get(), round + 1);
        }
    }
    assert!(store.file_handles() <= 8);
    assert_eq!(store.list().unwrap().len(), 50);
    let mut f = sessions[0]
        .follow(Mark { journal: sessions[0].id(), sequence: Sequence::ZERO, checksum: 0 })
        .unwrap();
    for _ in 0..3 {
        f.next().await.unwrap();
    }
    let s0 = sessions[0].clone();
    let t = tokio::spawn(async move { f.next().await.unwrap() });
    s0.append("more").await.unwrap();
    assert_eq!(&t.await.unwrap().payload[..], b"more");
    let mark = s0.mark();
    s0.append(NewRecord::new("x").kind("note")).await.unwrap();
    let e = s0
        .append_all(
            vec![NewRecord::new("y")],
            AppendOptions { expect: Expect::NothingSince(mark), ..Default::default() },
        )
        .await
        .unwrap_err();
    assert_eq!(e.error.kind(), ErrorKind::Conflict);
    println!("{e}");
    s0.append_all(
        vec![NewRecord::new("y")],
        AppendOptions {
            expect: Expect::OnlyKindsSince(mark, vec!["note".into()]),
            ..Default::default()
        },
    )
    .await
    .unwrap();
    println!("{:?}", s0.compact().await.unwrap());
    s0.append("after").await.unwrap();
    for s in sessions {
        s.close().await.unwrap();
    }
    for l in store.list().unwrap() {
        assert_eq!(l.state, State::Released);
    }
}
#[test]
fn blocking_speed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(
        dir.path().join("s"),
        StoreOptions {
            journal: Options { durability: Durability::Written, ..Options::default() },
            ..StoreOptions::default()
        },
    )
    .unwrap();
    let s = store.create_blocking(&SessionName::new(None, "a").unwrap()).unwrap();
    let rec = NewRecord::new(vec![b'x'; 1024]);
    let mut t = Vec::new();
    for _ in 0..100_000 {
        let i = std::time::Instant::now();
        s.append_blocking(rec.clone()).unwrap();
        t.push(i.elapsed().as_nanos());
    }
    t.sort();
    println!("append p50 {} p99 {}", t[t.len() / 2], t[t.len() * 99 / 100]);
}
