//! A new journal: whole or not at all, and owned by whoever made it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tracing::info;

use crate::chain::Chain;
use crate::error::{Cause, Error, Result};
use crate::format::{
    Codec, FORMAT_VERSION, FrameHeader, FrameKind, Identity, OpeningBody, PAGE_LEN, Slot,
    SlotState, Summary, encode_page,
};
use crate::identity::{JournalId, Owner};
use crate::index::{Index, Source};
use crate::mutation::{self, Mutation};
use crate::name::SessionName;
use crate::opening::must_be_writable_here;
use crate::options::Options;
use crate::position::Generation;
use crate::report::{OpenReason, Opening, RepairReport};
use crate::storage::Storage;
use crate::writer::{DurableThrough, Opened, Writer};

/// Creates a journal, whole or not at all, and owns its first generation.
pub(crate) fn create(
    path: &Path,
    name: &SessionName,
    options: &Options,
) -> Result<(Writer, Opening)> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let folder = options.disk.canonical(folder).map_err(|e| Error::io(folder, "find", e))?;
    let file_name =
        path.file_name().ok_or_else(|| Error::invalid(path, "a file name is missing"))?;
    let path: Arc<Path> = Arc::from(folder.join(file_name));
    must_be_writable_here(&folder, &path, options)?;

    let io = |operation| move |e| (operation, e);
    let failed = |(operation, e): (&'static str, std::io::Error)| {
        if e.kind() == std::io::ErrorKind::AlreadyExists {
            return Error::new(&path, Cause::AlreadyExists);
        }
        Error::io(&path, operation, e)
    };
    let mut random = [0; 24];
    options.host.fill_random(&mut random).map_err(io("find randomness")).map_err(failed)?;
    let (id, salt) = random.split_at(16);
    let identity = Identity {
        version: FORMAT_VERSION,
        journal: JournalId::from_bytes(id.try_into().unwrap_or_default()),
        salt: u64::from_le_bytes(salt.try_into().unwrap_or_default()),
        created_ms: options.host.now_ms(),
        compactions: 0,
        name: name.clone(),
    };
    let owner = options.host.owner(&options.label).map_err(io("say who we are")).map_err(failed)?;
    let content = first_content(&identity, &owner, options);
    let made = if mutation::broken(Mutation::CreateInPlace) {
        create_in_place(&path, &content, options)
    } else {
        options.disk.create(&path, &content)
    };
    let file = match made.map_err(io("create")) {
        Ok(file) => file,
        Err(error) => {
            options.host.retire(&owner);
            return Err(failed(error));
        }
    };
    info!(path = %path.display(), name = name.to_string(), "created");
    let codec = Codec::new(identity.salt);
    let source = Source { file, path, codec };
    let chain = chain_of_new(&source).inspect_err(|_| options.host.retire(&owner))?;
    let writer = Writer::new(Opened {
        index: Index::new(identity.journal, codec, &chain, None),
        source,
        identity,
        options: options.clone(),
        owner,
        generation: 1,
        sequence: 0,
        tail: chain.end,
        unsettled: false,
        durable: DurableThrough { offset: chain.end, sequence: 0 },
        summary: Summary { opening: PAGE_LEN, ..Summary::default() },
        chain,
        last_checksum: 0,
        slot_counter: 0,
        checkpoint: 0,
    });
    let opening = Opening {
        generation: Generation::new(1),
        previous_generation: Generation::new(0),
        previous_owner: None,
        reason: OpenReason::Created,
        report: RepairReport::default(),
    };
    Ok((writer, opening))
}

/// The wrong way: others meet the file before it is whole.
fn create_in_place(path: &Path, content: &[u8], options: &Options) -> io::Result<Arc<dyn Storage>> {
    let file = options.disk.create_new(path)?;
    file.append(content)?;
    Ok(file)
}

/// Header page and first opening.
fn first_content(identity: &Identity, owner: &Owner, options: &Options) -> Vec<u8> {
    let codec = Codec::new(identity.salt);
    let body = OpeningBody {
        identity: identity.clone(),
        previous_generation: 0,
        reason: OpenReason::Created,
        claim: 0,
        last_frame: 0,
        owner: owner.clone(),
        previous_owner: None,
        report: RepairReport::default(),
    }
    .encode();
    let now = options.host.now_ms();
    let header = FrameHeader::alone(
        FrameKind::Opening,
        &codec,
        &body,
        FrameHeader {
            incarnation: owner.incarnation.short(),
            generation: 1,
            offset: PAGE_LEN,
            time_ms: now,
            ..FrameHeader::BLANK
        },
    );
    let slot = Slot {
        counter: 0,
        generation: 1,
        state: SlotState::Open,
        sequence: 0,
        tail: header.end(),
        durable_through: header.end(),
        checkpoint: 0,
        opening: PAGE_LEN,
        records: 0,
        void_bytes: 0,
        records_lost: 0,
        updated_ms: now,
        owner: owner.clone(),
    };
    let mut content = encode_page(identity, &slot, &codec);
    content.extend_from_slice(&header.encode(&codec));
    content.extend_from_slice(&body);
    content
}

fn chain_of_new(source: &Source) -> Result<Chain> {
    let first = crate::locate::read_frame(&*source.file, &source.path, &source.codec, PAGE_LEN)?;
    match first {
        Some((header, _)) => Ok(Chain::behind(&header)),
        None => {
            Err(Error::new(&source.path, Cause::Detached { how: "another file is at its path" }))
        }
    }
}
