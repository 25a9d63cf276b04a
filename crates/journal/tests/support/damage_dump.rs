//! Decoded values as stable text: what a golden file must give.

use std::fmt::Write as _;

use session_journal::format::{
    Checkpoint, ClaimBody, Codec, CompactedBody, FrameHeader, FrameKind, HEADER_LEN, Identity,
    Meta, OpeningBody, ReopenBody, SLOT_LEN, SealBody, Slot, decode_identity,
};
use session_journal::{Hole, Owner, RepairReport};

macro_rules! line {
    ($out:expr, $($text:tt)*) => {
        writeln!($out, $($text)*).expect("a string takes it")
    };
}
pub(crate) use line;

/// One frame, header and body, or `None` where anything of it does not verify.
pub(crate) fn frame(bytes: &[u8], codec: &Codec) -> Option<String> {
    let header = FrameHeader::decode(bytes, codec).ok()?;
    let body = bytes.get(HEADER_LEN..)?;
    if body.len() as u64 != header.body_len() || codec.checksum(&[body]) != header.body_checksum {
        return None;
    }
    let mut out = String::new();
    let FrameHeader { kind, flags, meta_len, payload_len, body_checksum, incarnation, .. } = header;
    line!(out, "kind {kind:?} ({}), flags {flags:#05b}", u8::from(kind));
    line!(out, "meta {meta_len} bytes, payload {payload_len} bytes");
    line!(out, "body checksum {body_checksum:08x}, incarnation {incarnation:08x}");
    line!(out, "generation {}, sequence {}", header.generation, header.sequence);
    line!(out, "offset {}, previous {}", header.offset, header.previous);
    line!(out, "batch: {} bytes before, {} in all", header.batch_before, header.batch_len);
    line!(out, "time {} ms, durable through {}", header.time_ms, header.durable_through);
    body_of(&header, body, codec, &mut out)?;
    Some(out)
}

fn body_of(header: &FrameHeader, body: &[u8], codec: &Codec, out: &mut String) -> Option<()> {
    match header.kind {
        FrameKind::Record => {
            let (meta, payload) = body.split_at_checked(usize::from(header.meta_len))?;
            let meta = Meta::decode(header.flags, meta).ok()?;
            line!(out, "record kind {:?}, key {:?}, parent {:?}", meta.kind, meta.key, meta.parent);
            line!(out, "payload {:?}", String::from_utf8_lossy(payload));
        }
        FrameKind::Claim => {
            let claim = ClaimBody::decode(body).ok()?;
            line!(out, "replaces generation {}", claim.replaces);
            owner("author", &claim.owner, out);
        }
        FrameKind::Opening => opening(&OpeningBody::decode(body).ok()?, out),
        FrameKind::Release => line!(out, "body {} bytes", body.len()),
        FrameKind::Seal => {
            let seal = SealBody::decode(body).ok()?;
            line!(
                out,
                "purpose {:?}, path {:?}",
                seal.purpose,
                String::from_utf8_lossy(&seal.path)
            );
            let successor = String::from_utf8_lossy(&seal.successor).into_owned();
            line!(out, "successor {successor:?} of {} bytes", seal.successor_len);
        }
        FrameKind::Reopen => owner("author", &ReopenBody::decode(body).ok()?.owner, out),
        FrameKind::Checkpoint => checkpoint(&Checkpoint::decode(body, codec).ok()?, out),
        FrameKind::Compacted => {
            let compacted = CompactedBody::decode(body).ok()?;
            identity(&compacted.identity, out);
            line!(
                out,
                "replaces a file of {} bytes, lost {:?}",
                compacted.replaced_len,
                compacted.lost
            );
        }
        FrameKind::Unknown(_) => return None,
    }
    Some(())
}

/// The header page, or `None` where identity or either slot does not verify.
pub(crate) fn page(bytes: &[u8], codec: &Codec) -> Option<String> {
    let mut out = String::new();
    identity(&decode_identity(bytes).ok()?, &mut out);
    for (name, at) in [("A", 3072), ("B", 3584)] {
        slot(name, &Slot::decode(bytes.get(at..at + SLOT_LEN)?, codec)?, &mut out);
    }
    Some(out)
}

fn identity(identity: &Identity, out: &mut String) {
    line!(out, "version {}, journal {}", identity.version, identity.journal);
    line!(out, "salt {:016x}, created {} ms", identity.salt, identity.created_ms);
    line!(out, "compactions {}, session {}", identity.compactions, identity.name);
}

fn slot(name: &str, slot: &Slot, out: &mut String) {
    line!(
        out,
        "slot {name}: counter {}, generation {}, {:?}",
        slot.counter,
        slot.generation,
        slot.state
    );
    line!(out, "  sequence {}, tail {}", slot.sequence, slot.tail);
    line!(out, "  durable through {}, checkpoint {}", slot.durable_through, slot.checkpoint);
    line!(out, "  opening {}, records {}", slot.opening, slot.records);
    line!(out, "  void {} bytes, lost {} records", slot.void_bytes, slot.records_lost);
    line!(out, "  updated {} ms", slot.updated_ms);
    owner("  owner", &slot.owner, out);
}

fn owner(role: &str, owner: &Owner, out: &mut String) {
    line!(out, "{role} {} boot {}", owner.incarnation, owner.boot_id_text());
    line!(out, "{role} pid {} in {}, {} ticks", owner.pid, owner.pid_namespace, owner.start_ticks);
    let Owner { started_ms, host, program, label, .. } = owner;
    line!(out, "{role} started {started_ms} ms, {program:?} on {host:?} says {label:?}");
}

fn opening(opening: &OpeningBody, out: &mut String) {
    identity(&opening.identity, out);
    line!(out, "before: generation {}, {}", opening.previous_generation, opening.reason);
    line!(out, "claim at {}, last frame at {}", opening.claim, opening.last_frame);
    owner("owner", &opening.owner, out);
    match &opening.previous_owner {
        Some(previous) => owner("before", previous, out),
        None => line!(out, "before: nobody"),
    }
    report(&opening.report, out);
}

pub(crate) fn report(report: &RepairReport, out: &mut String) {
    let RepairReport { more_holes, header_damaged, settled_bytes, holes } = report;
    line!(out, "report: header damaged {header_damaged}, settled {settled_bytes} bytes");
    for one in holes {
        hole(one, out);
    }
    line!(out, "report: {more_holes} more holes");
}

pub(crate) fn hole(hole: &Hole, out: &mut String) {
    let Hole { offset, bytes, verdict, first, records_lost } = hole;
    line!(out, "hole at {offset}, {bytes} bytes, {verdict:?}, {records_lost} lost from {first}");
}

fn checkpoint(checkpoint: &Checkpoint, out: &mut String) {
    let summary = checkpoint.summary;
    line!(out, "records {}, void {} bytes", summary.records, summary.void_bytes);
    line!(out, "lost {} records, opening {}", summary.records_lost, summary.opening);
    for run in &checkpoint.runs {
        line!(out, "run of {}: {} to {}, level {}", run.checkpoint, run.start, run.end, run.level);
        line!(out, "  records {} to {}, lossy {}", run.before + 1, run.last, run.lossy);
        line!(out, "  {} samples, {} keys", run.samples, run.keys);
    }
    for sample in &checkpoint.samples {
        line!(out, "sample {} at {}", sample.sequence, sample.offset);
    }
    for key in &checkpoint.keys {
        line!(out, "key {:08x} at {}", key.hash, key.offset);
    }
}
