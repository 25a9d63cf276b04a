//! What must hold in every state, and what must be reached in some.
//!
//! Where syncs fail or power is lost, nothing is said of a record that nobody was told is durable. It
//! may be seen, be gone (a gap, where an opening counts it), and be seen again in its place, when a
//! stopped opener brings it back. Once anybody is told that it is durable, it stays.

use stateright::Property;

use crate::bounds::Bounds;
use crate::frame::{Author, Cell, Frame, Kind};
use crate::model::Protocol;
use crate::process::{Phase, Purpose};
use crate::scan::{Chain, Seen, Standing};
use crate::world::World;

/// What these bounds can show.
#[must_use]
pub fn of(bounds: &Bounds) -> Vec<Property<Protocol>> {
    let mut properties = vec![
        Property::always("what was acknowledged is in the chain", acknowledged_is_there),
        Property::always("what was refused is not in the chain", refused_is_not_there),
        Property::always("records are there once, in their producer's order", once_and_in_order),
        Property::always("generations only rise, each of one incarnation", generations_rise),
        Property::always("who may append is held to be the owner", owner_is_known),
        Property::always("two owners never hold one generation", one_owner_a_generation),
        Property::always("nothing counts behind a seal but a reopen", seals_end),
        Property::always("a generation ends at its release", releases_end),
    ];
    if bounds.has_power() {
        let name = "what was opened is not claimed again, whatever power does";
        properties.push(Property::always(name, opened_for_good));
    } else {
        properties.extend([
            Property::always("nothing counts behind the claim that fenced it", nothing_overtakes),
            Property::always("sequences are dense", sequences_are_dense),
            Property::always("what is self-placed is in the chain", evidence_suffices),
            Property::always("reading on ends where reading anew ends", reading_on_is_reading_anew),
            Property::always("the path leads to the journal", path_leads_to_journal),
            Property::always("a quoted claim takes nothing", quoted_claims_are_void),
        ]);
    }
    properties.extend(reachable(bounds));
    properties
}

fn reachable(bounds: &Bounds) -> Vec<Property<Protocol>> {
    let mut all = vec![Property::sometimes("a takeover", some_takeover)];
    let mut when = |there: bool, name, condition: fn(&Protocol, &World) -> bool| {
        if there {
            all.push(Property::sometimes(name, condition));
        }
    };
    let live = !bounds.has_power();
    when(true, "a fencing", some_fencing);
    when(live, "a displaced append that was stored", some_displacement);
    when(bounds.processes > 2, "a race of claims", some_race);
    when(bounds.cell_by_cell, "a tail within a frame", some_tail_within_a_frame);
    when(bounds.kills + bounds.short_writes > 0 && live, "a torn frame", some_torn_frame);
    when(bounds.releases, "a release", |m, w| some_last(m, w, Kind::Release));
    when(bounds.seals > 0, "a seal", |m, w| some_last(m, w, Kind::Seal));
    when(bounds.seals > 0, "a compaction", |_, w| w.path == Some(1) && w.is_copy);
    when(bounds.seals > 0, "a deletion", |_, w| w.path.is_none());
    when(bounds.lost_successors > 0, "a reopen", |m, w| some_frame(m, w, Kind::Reopen));
    when(bounds.power_losses > 0, "a power loss that took something", some_loss);
    when(bounds.failing_syncs > 0, "a page called clean", some_page_called_clean);
    when(bounds.failing_syncs > 0, "what was dropped and may come back", some_dropped);
    when(bounds.checkpoints, "an opening from a checkpoint", some_opening_from_a_checkpoint);
    all
}

// ---- always --------------------------------------------------------------------------------

/// Every file, as one reads it from the start.
fn views(world: &World) -> impl Iterator<Item = &Seen> {
    world.files.iter().map(|file| &file.view.seen)
}

/// The records that a process has in a chain, as bits by number.
fn records_of(seen: &Seen, process: u8) -> u8 {
    let of_it = |f: &&Frame| f.is_record() && f.author.process == process;
    seen.frames.iter().filter(of_it).fold(0, |bits, frame| bits | 1 << frame.body)
}

fn acknowledged_is_there(_: &Protocol, world: &World) -> bool {
    let seen: Vec<&Seen> = views(world).collect();
    (0..).zip(&world.processes).all(|(id, process)| {
        let there = |inode: usize| seen.get(inode).map_or(0, |seen| records_of(seen, id));
        let [first, second] = process.acknowledged;
        let copied = !(world.is_copy && world.path == Some(1)) || first & !there(1) == 0;
        first & !there(0) == 0 && second & !there(1) == 0 && copied
    })
}

fn refused_is_not_there(model: &Protocol, world: &World) -> bool {
    let seen: Vec<&Seen> = views(world).collect();
    let refused = |id: u8| world.process(id).refused;
    (0..model.bounds.processes)
        .all(|id| seen.iter().all(|seen| records_of(seen, id) & refused(id) == 0))
}

fn once_and_in_order(model: &Protocol, world: &World) -> bool {
    views(world).all(|seen| {
        (0..model.bounds.processes).all(|id| {
            let of_it = |f: &&Frame| f.is_record() && f.author.process == id;
            let numbers: Vec<u8> = seen.frames.iter().filter(of_it).map(|f| f.body).collect();
            numbers.is_sorted_by(|a, b| a < b)
        })
    })
}

fn generations_rise(_: &Protocol, world: &World) -> bool {
    views(world).all(|seen| {
        let pairs = seen.frames.windows(2).all(|pair| {
            let [before, after] = pair else { return true };
            let same = before.generation == after.generation && after.kind != Kind::Reopen;
            before.generation <= after.generation && (!same || before.author == after.author)
        });
        let as_shown = |frame: &Frame| {
            world.shown[usize::from(frame.generation)].is_none_or(|shown| shown == frame.author)
        };
        pairs && seen.frames.iter().all(as_shown)
    })
}

fn nothing_overtakes(_: &Protocol, world: &World) -> bool {
    views(world).all(|seen| !seen.overtaken)
}

/// Whose next append would be in its place is the owner to whoever asks, so nobody is asked whether
/// another one may be displaced.
fn owner_is_known(_: &Protocol, world: &World) -> bool {
    world.processes.iter().filter(|p| p.phase == Phase::Owner).all(|owner| {
        let file = &world.files[usize::from(owner.inode)];
        let sealed = file.view.seen.chain.is_sealed();
        owner.tail != file.len() || sealed || file.view.seen.standing.generation == owner.generation
    })
}

/// A claim, and whatever it counts by, is durable before its opening stands in the chain (H11). Not
/// before that is tried: where the claim that this one replaces was dropped while its author settled,
/// the owner before did not see either of them, and may have appended. Its frame makes them void,
/// the opening lands elsewhere, and is never written again.
fn opened_for_good(model: &Protocol, world: &World) -> bool {
    let opened = world.processes.iter().filter(|p| p.has_opened()).map(|p| p.generation).max();
    let Some(opened) = opened else { return true };
    world.files[0].standing_without_power(model.mutation).generation >= opened
}

fn one_owner_a_generation(_: &Protocol, world: &World) -> bool {
    let owners = || world.processes.iter().filter(|p| p.phase == Phase::Owner);
    owners().all(|one| {
        let same = |p: &&_| {
            let p: &crate::process::Process = p;
            (p.inode, p.generation) == (one.inode, one.generation)
        };
        owners().filter(same).count() == 1
    })
}

/// A seal is the last frame of a chain, or a reopen follows it.
fn seals_end(_: &Protocol, world: &World) -> bool {
    views(world).all(|seen| {
        seen.frames
            .windows(2)
            .all(|pair| pair[0].kind != Kind::Seal || pair[1].kind == Kind::Reopen)
    })
}

fn releases_end(_: &Protocol, world: &World) -> bool {
    views(world).all(|seen| {
        seen.frames
            .windows(2)
            .all(|pair| pair[0].kind != Kind::Release || pair[1].generation > pair[0].generation)
    })
}

fn sequences_are_dense(_: &Protocol, world: &World) -> bool {
    views(world).all(|seen| {
        let records = seen.frames.iter().filter(|frame| frame.is_record());
        records.zip(1..).all(|(frame, sequence)| frame.sequence == sequence)
    })
}

/// A sound frame in its place proves its own right to be there: in a file without damage, all the
/// rest of the rule of admission only says what the writers see to anyway.
fn evidence_suffices(_: &Protocol, world: &World) -> bool {
    world.files.iter().zip(views(world)).all(|(file, seen)| {
        (0..).zip(&file.cells).all(|(at, cell)| {
            let Cell::Head(frame) = cell else { return true };
            let complete = frame.offset == at && frame.kind != Kind::Claim && file.holds(frame);
            let alone = frame.batch_len == frame.len();
            !(complete && alone) || seen.frames.contains(frame)
        })
    })
}

/// Wherever the last look of a reader ended, it goes on to where reading everything ends.
fn reading_on_is_reading_anew(_: &Protocol, world: &World) -> bool {
    world.files.iter().all(|file| file.view.reads_on)
}

/// A journal loses its name only where it was sealed for deletion.
fn path_leads_to_journal(_: &Protocol, world: &World) -> bool {
    let deleted = |inode: usize| {
        let last = world.files[inode].view.seen.chain.last;
        last.is_some_and(|l| l.kind == Kind::Seal && l.body == Purpose::Delete as u8)
    };
    match world.path {
        None => deleted(world.files.len() - 1) || (world.successor.is_some() && deleted(0)),
        Some(1) => world.is_copy || deleted(0),
        Some(_) => true,
    }
}

fn quoted_claims_are_void(_: &Protocol, world: &World) -> bool {
    let quoted =
        |standing: Standing| standing.claim.is_some_and(|(_, author)| author == Author::STRANGER);
    views(world).all(|seen| !quoted(seen.standing) && !quoted(seen.settled))
}

// ---- sometimes -----------------------------------------------------------------------------

fn some_frame(_: &Protocol, world: &World, kind: Kind) -> bool {
    world.files[0].view.seen.frames.iter().any(|frame| frame.kind == kind)
}

fn some_last(_: &Protocol, world: &World, kind: Kind) -> bool {
    world.files[0].view.seen.chain.last.is_some_and(|last| last.kind == kind)
}

fn some_takeover(_: &Protocol, world: &World) -> bool {
    let seen = &world.files[0].view.seen;
    seen.frames
        .windows(2)
        .any(|pair| pair[1].kind == Kind::Opening && pair[0].kind != Kind::Release)
}

fn some_fencing(_: &Protocol, world: &World) -> bool {
    world.processes.iter().any(|process| process.refused != 0)
}

/// A record is in the chain of which a dead copy lies before it.
fn some_displacement(_: &Protocol, world: &World) -> bool {
    let cells = &world.files[0].cells;
    world.files[0].view.seen.frames.iter().filter(|frame| frame.is_record()).any(|frame| {
        cells[..usize::from(frame.offset)].iter().any(|cell| match cell {
            Cell::Head(dead) => {
                (dead.kind, dead.author, dead.body) == (frame.kind, frame.author, frame.body)
            }
            _ => false,
        })
    })
}

fn some_race(_: &Protocol, world: &World) -> bool {
    let claims = || {
        world.files[0].cells.iter().filter_map(|cell| match cell {
            Cell::Head(frame) if frame.kind == Kind::Claim => Some(frame),
            _ => None,
        })
    };
    claims().any(|one| claims().filter(|other| other.body == one.body).count() > 1)
}

fn some_tail_within_a_frame(_: &Protocol, world: &World) -> bool {
    let cells = &world.files[0].cells;
    let within = |tail: u8| cells.get(usize::from(tail)).is_some_and(|cell| *cell == Cell::Rest);
    world.processes.iter().any(|process| process.phase != Phase::Idle && within(process.tail))
}

fn some_torn_frame(_: &Protocol, world: &World) -> bool {
    let cells = &world.files[0].cells;
    let torn = |(at, cell): (usize, &Cell)| {
        let Cell::Head(frame) = cell else { return false };
        let (rest, count) = frame.rest();
        cells.get(at + 1..=at + count) != Some(&rest[..count])
    };
    !world.is_being_written(0) && cells.iter().enumerate().any(torn)
}

fn some_loss(model: &Protocol, world: &World) -> bool {
    world.power_losses < model.bounds.power_losses && world.files[0].cells.contains(&Cell::Hole)
}

fn some_page_called_clean(_: &Protocol, world: &World) -> bool {
    world.files[0].medium.contains(&crate::file::Medium::CalledClean)
}

fn some_dropped(_: &Protocol, world: &World) -> bool {
    !world.files[0].dropped.is_empty()
}

fn some_opening_from_a_checkpoint(model: &Protocol, world: &World) -> bool {
    let file = &world.files[0];
    let from = file.survey(file.start(), model.mutation);
    from.frames.len() < file.view.seen.frames.len() && from.chain != Chain::default()
}
