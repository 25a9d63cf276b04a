//! Bodies of the frames that are not records.

use crate::identity::{Incarnation, JournalId, Owner};
use crate::name::SessionName;
use crate::position::{Offset, Sequence};
use crate::record::Verdict;
use crate::report::{Hole, OpenReason, RepairReport};

use super::wire::{Fields, Malformed, cut, put_short};

/// The longest text of an owner: host, program, label.
const OWNER_TEXT_MAX: usize = 255;

/// What is written once, when a journal is created, and repeated in every opening: so that losing
/// the header page loses nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Version of the format that the file follows.
    pub version: u16,
    /// The journal.
    pub journal: JournalId,
    /// Seeds every checksum.
    pub salt: u64,
    /// When the journal was created, ms since the epoch.
    pub created_ms: i64,
    /// How often the journal was replaced by a compacted file.
    pub compactions: u32,
    /// The session.
    pub name: SessionName,
}

impl Identity {
    /// The identity of the file that replaces this one. A page may say any number; the one behind
    /// the largest is zero.
    #[must_use]
    pub(crate) fn compacted(&self) -> Self {
        Self { compactions: self.compactions.wrapping_add(1), ..self.clone() }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.journal.to_bytes());
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&self.created_ms.to_le_bytes());
        out.extend_from_slice(&self.compactions.to_le_bytes());
        put_short(out, self.name.agent().unwrap_or_default().as_bytes());
        put_short(out, self.name.id().as_bytes());
    }

    pub(super) fn fields(fields: &mut Fields<'_>) -> Result<Self, Malformed> {
        let version = fields.u16()?;
        let journal = JournalId::from_bytes(fields.array()?);
        let salt = fields.u64()?;
        let created_ms = fields.i64()?;
        let compactions = fields.u32()?;
        let agent = fields.short_text()?;
        let id = fields.short_text()?;
        let agent = (!agent.is_empty()).then_some(agent.as_str());
        let name = SessionName::new(agent, &id).map_err(|_| fields.malformed())?;
        Ok(Self { version, journal, salt, created_ms, compactions, name })
    }

    /// Reads the identity that the body of an opening or of a compacted frame begins with, without
    /// looking at the rest: how the salt is found when the header page is gone.
    ///
    /// # Errors
    /// `Malformed` where it is none.
    pub fn peek(body: &[u8]) -> Result<Self, Malformed> {
        Self::fields(&mut Fields::new(body, "identity"))
    }
}

pub(super) fn encode_owner(owner: &Owner, text_max: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&owner.incarnation.to_bytes());
    out.extend_from_slice(&owner.boot_id);
    out.extend_from_slice(&owner.pid.to_le_bytes());
    out.extend_from_slice(&owner.pid_namespace.to_le_bytes());
    out.extend_from_slice(&owner.start_ticks.to_le_bytes());
    out.extend_from_slice(&owner.started_ms.to_le_bytes());
    for text in [&owner.host, &owner.program, &owner.label] {
        put_short(out, cut(text, text_max).as_bytes());
    }
}

fn encode_full_owner(owner: &Owner, out: &mut Vec<u8>) {
    encode_owner(owner, OWNER_TEXT_MAX, out);
}

pub(super) fn decode_owner(fields: &mut Fields<'_>) -> Result<Owner, Malformed> {
    Ok(Owner {
        incarnation: Incarnation::from_bytes(fields.array()?),
        boot_id: fields.array()?,
        pid: fields.u32()?,
        pid_namespace: fields.u64()?,
        start_ticks: fields.u64()?,
        started_ms: fields.i64()?,
        host: fields.short_text()?,
        program: fields.short_text()?,
        label: fields.short_text()?,
    })
}

/// Takes a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimBody {
    /// The generation that it replaces; void where another one is current.
    pub replaces: u64,
    /// Who claims.
    pub owner: Owner,
}

impl ClaimBody {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.replaces.to_le_bytes().to_vec();
        encode_full_owner(&self.owner, &mut out);
        out
    }

    /// Reads it.
    ///
    /// # Errors
    /// `Malformed` where the bytes are no claim.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new(body, "claim");
        let claim = Self { replaces: fields.number()?, owner: decode_owner(&mut fields)? };
        fields.end()?;
        Ok(claim)
    }
}

/// The first frame of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpeningBody {
    /// The journal's identity, repeated.
    pub identity: Identity,
    /// The generation before; zero for none.
    pub previous_generation: u64,
    /// Why it could be taken.
    pub reason: OpenReason,
    /// Where the claim stands; zero for none.
    pub claim: u64,
    /// The last chain frame before it; zero for none.
    pub last_frame: u64,
    /// Who opened.
    pub owner: Owner,
    /// Who held the generation before, where known.
    pub previous_owner: Option<Owner>,
    /// What was found.
    pub report: RepairReport,
}

impl OpeningBody {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        self.identity.encode(&mut out);
        out.extend_from_slice(&self.previous_generation.to_le_bytes());
        out.push(match self.reason {
            OpenReason::Created => 1,
            OpenReason::Released => 2,
            OpenReason::Crashed => 3,
            OpenReason::TakenOver => 4,
        });
        out.extend_from_slice(&self.claim.to_le_bytes());
        out.extend_from_slice(&self.last_frame.to_le_bytes());
        encode_full_owner(&self.owner, &mut out);
        out.push(u8::from(self.previous_owner.is_some()));
        if let Some(owner) = &self.previous_owner {
            encode_full_owner(owner, &mut out);
        }
        encode_report(&self.report, &mut out);
        out
    }

    /// Reads it.
    ///
    /// # Errors
    /// `Malformed` where the bytes are no opening.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new(body, "opening");
        let opening = Self {
            identity: Identity::fields(&mut fields)?,
            previous_generation: fields.number()?,
            reason: match fields.u8()? {
                1 => OpenReason::Created,
                2 => OpenReason::Released,
                3 => OpenReason::Crashed,
                4 => OpenReason::TakenOver,
                _ => return Err(fields.malformed()),
            },
            claim: fields.number()?,
            last_frame: fields.number()?,
            owner: decode_owner(&mut fields)?,
            previous_owner: match fields.u8()? {
                0 => None,
                1 => Some(decode_owner(&mut fields)?),
                _ => return Err(fields.malformed()),
            },
            report: decode_report(&mut fields)?,
        };
        fields.end()?;
        Ok(opening)
    }
}

fn encode_report(report: &RepairReport, out: &mut Vec<u8>) {
    let listed = report.holes.iter().take(RepairReport::HOLES_MAX);
    let left = report.holes.len().saturating_sub(RepairReport::HOLES_MAX) as u64;
    out.push(u8::from(report.header_damaged));
    out.extend_from_slice(&report.settled_bytes.to_le_bytes());
    out.extend_from_slice(&report.more_holes.saturating_add(left).to_le_bytes());
    let count = u16::try_from(listed.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&count.to_le_bytes());
    for hole in listed {
        out.extend_from_slice(&hole.offset.get().to_le_bytes());
        out.extend_from_slice(&hole.bytes.to_le_bytes());
        out.push(u8::from(hole.verdict == Verdict::Corrupt));
        out.extend_from_slice(&hole.first.get().to_le_bytes());
        out.extend_from_slice(&hole.records_lost.to_le_bytes());
    }
}

fn decode_report(fields: &mut Fields<'_>) -> Result<RepairReport, Malformed> {
    let header_damaged = fields.u8()? != 0;
    let settled_bytes = fields.number()?;
    let more_holes = fields.number()?;
    let holes = (0..fields.u16()?)
        .map(|_| {
            Ok(Hole {
                offset: Offset::new(fields.number()?),
                bytes: fields.number()?,
                verdict: if fields.u8()? == 0 { Verdict::Torn } else { Verdict::Corrupt },
                first: Sequence::new(fields.number()?),
                records_lost: fields.number()?,
            })
        })
        .collect::<Result<_, Malformed>>()?;
    Ok(RepairReport { holes, more_holes, header_damaged, settled_bytes })
}

/// What a seal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A compacted file takes its place.
    Replace,
    /// The file is to be removed.
    Delete,
}

/// Ends a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealBody {
    /// What it is for.
    pub purpose: Purpose,
    /// The path that it holds for, as bytes: a hard link elsewhere is not meant.
    pub path: Vec<u8>,
    /// File name of the successor, beside it; empty for a deletion.
    pub successor: Vec<u8>,
    /// Length of the complete successor in bytes.
    pub successor_len: u64,
}

impl SealBody {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![match self.purpose {
            Purpose::Replace => 1,
            Purpose::Delete => 2,
        }];
        put_short(&mut out, &self.path);
        put_short(&mut out, &self.successor);
        out.extend_from_slice(&self.successor_len.to_le_bytes());
        out
    }

    /// Reads it.
    ///
    /// # Errors
    /// `Malformed` where the bytes are no seal.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new(body, "seal");
        let seal = Self {
            purpose: match fields.u8()? {
                1 => Purpose::Replace,
                2 => Purpose::Delete,
                _ => return Err(fields.malformed()),
            },
            path: fields.short_bytes()?.to_vec(),
            successor: fields.short_bytes()?.to_vec(),
            successor_len: fields.number()?,
        };
        fields.end()?;
        Ok(seal)
    }
}

/// Takes a seal back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReopenBody {
    /// Who found that the successor does not exist.
    pub owner: Owner,
}

impl ReopenBody {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        encode_full_owner(&self.owner, &mut out);
        out
    }

    /// Reads it.
    ///
    /// # Errors
    /// `Malformed` where the bytes are no reopen.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new(body, "reopen");
        let reopen = Self { owner: decode_owner(&mut fields)? };
        fields.end()?;
        Ok(reopen)
    }
}

/// The first frame of a compacted file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactedBody {
    /// The journal's identity, repeated.
    pub identity: Identity,
    /// Length of the file that it replaces, in bytes.
    pub replaced_len: u64,
    /// Records that were lost already: first sequence and count of each range. They are no damage
    /// of this file.
    pub lost: Vec<(u64, u64)>,
}

impl CompactedBody {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.identity.encode(&mut out);
        out.extend_from_slice(&self.replaced_len.to_le_bytes());
        let count = u32::try_from(self.lost.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&count.to_le_bytes());
        for (first, records) in &self.lost {
            out.extend_from_slice(&first.to_le_bytes());
            out.extend_from_slice(&records.to_le_bytes());
        }
        out
    }

    /// Reads it.
    ///
    /// # Errors
    /// `Malformed` where the bytes are none.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new(body, "compacted");
        let identity = Identity::fields(&mut fields)?;
        let replaced_len = fields.number()?;
        let count = fields.u32()?;
        let lost = (0..count)
            .map(|_| Ok((fields.number()?, fields.number()?)))
            .collect::<Result<_, Malformed>>()?;
        fields.end()?;
        Ok(Self { identity, replaced_len, lost })
    }
}
