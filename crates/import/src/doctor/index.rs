//! A registry and the files beside it: entries without files, and files without entries.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::Finding;
use super::code::Code;
use crate::lineage::Relation;
use crate::object::Object;
use crate::place::readable;
use crate::role::{Role, Shape};
use crate::shell::import_command;
use crate::sources::{FileName, Find, Registry, file_name_of};

/// How much of a transcript is read to find its header.
const HEADER_BYTES: u64 = 64 << 10;

/// Tells where a registry and its folder disagree.
pub(super) fn examine(path: &Path, each: &mut dyn FnMut(Finding)) {
    let Some(folder) = path.parent() else { return };
    let Some(registry) = fs::read(path).ok().and_then(|bytes| Registry::parse(&bytes)) else {
        let what = "the list of sessions is not one JSON object; its program shows none of them";
        let saved = "an import finds transcripts by themselves, and keeps the list as it is";
        let what = format!("{what}; {saved}");
        return each(Code::RegistryBroken.about(path, what, import_command(folder)));
    };
    let names = names(folder);
    for (key, file) in registry.files() {
        if !names.contains_key(&file) {
            each(entry_without_file(path, key, &file, &names));
        }
    }
    for (name, file) in names.iter().filter(|(name, _)| is_current(name)) {
        let file = folder.join(file);
        let id = header_id(&file);
        if registry.entry(name, id.as_deref()).is_none() {
            let what = "no entry of sessions.json names it, so its program lists it nowhere; an import \
                        makes it a session like the others";
            each(Code::FileWithoutEntry.about(&file, what, import_command(&file)));
        }
    }
}

fn names(folder: &Path) -> BTreeMap<String, OsString> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| (readable(entry.file_name()), entry.file_name())).collect()
}

fn entry_without_file(
    path: &Path,
    key: &str,
    file: &str,
    names: &BTreeMap<String, OsString>,
) -> Finding {
    let aside = names.keys().find(|name| {
        let told = file_name_of(name);
        told.is_some_and(|told| told.of.as_deref() == Some(file) && told.relation != PART)
    });
    let what = format!("its entry {key} names {file}, which is not there");
    let (why, next) = match aside {
        Some(aside) => (
            format!("what was set aside of it is a session of its own to an import: {aside}"),
            import_command(path.parent().unwrap_or(path)),
        ),
        None => (
            "a session that never had an answer has no file, one that had is lost here".to_owned(),
            "look for the file in a backup, and import it from there".to_owned(),
        ),
    };
    Code::EntryWithoutFile.about(path, format!("{what}; {why}"), next)
}

const PART: Option<Relation> = Some(Relation::PartOf);

/// Whether a file of this name is a transcript that a registry would name.
fn is_current(name: &str) -> bool {
    file_name_of(name).is_some_and(|FileName { find, relation, .. }| {
        find == Find::Take(Role::Transcript, Shape::Lines)
            && matches!(relation, None | Some(Relation::TopicOf))
    })
}

fn header_id(path: &Path) -> Option<String> {
    let mut line = Vec::new();
    let file = BufReader::new(File::open(path).ok()?);
    file.take(HEADER_BYTES).read_until(b'\n', &mut line).ok()?;
    Object::parse(&line)?.text("id")
}
