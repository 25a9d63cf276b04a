//! Which journal is meant: a name, the beginning of one, or a path.

use std::fs::FileType;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use session_journal::{EXTENSION, ErrorKind, SessionName, Store};

use crate::context::Context;
use crate::exit::Failure;

/// The file of the session that this text means. What it is exactly comes first: the name of a
/// session, a path, the key that a program's registry has for a session, the id that a source states.
/// Then the beginning of a name.
pub(crate) fn find(context: &Context, text: &str) -> Result<PathBuf, Failure> {
    find_as(context, text, Meant::OrBeginning)
}

/// The same, for what cannot be taken back: only a name in full or a path will do. What anything else
/// means is another session when that one is gone.
pub(crate) fn find_exactly(context: &Context, text: &str) -> Result<PathBuf, Failure> {
    find_as(context, text, Meant::Exactly)
}

/// How a session is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meant {
    Exactly,
    OrBeginning,
}

fn find_as(context: &Context, text: &str, meant: Meant) -> Result<PathBuf, Failure> {
    let store = store(context, text)?;
    if let Some(path) = store.as_ref().and_then(|store| exactly(store, text)) {
        return journal_file(&path);
    }
    let path = Path::new(text);
    if looks_like_path(path) && path.symlink_metadata().is_ok() {
        return journal_file(path);
    }
    let refused = match &store {
        None => None,
        Some(store) => match in_store(context, store, text, meant) {
            Ok(path) => return journal_file(&path),
            Err(failure) => Some(failure),
        },
    };
    match refused {
        Some(failure) if failure.kind() != Some(ErrorKind::NotFound) => Err(failure),
        _ if path.symlink_metadata().is_ok() => journal_file(path),
        _ => Err(none(context, text)?),
    }
}

/// The journal of a session that is not named in full.
fn in_store(
    context: &Context,
    store: &Store,
    text: &str,
    meant: Meant,
) -> Result<PathBuf, Failure> {
    let (name, path) = match store.named(text)? {
        Some(name) => (name.clone(), store.path_of(&name)),
        // The attributes of all sessions are read for it.
        None => match context.catalogue()?.find(text)[..] {
            [] => store.resolve(text).map(|name| (name.clone(), store.path_of(&name)))?,
            [entry] => (entry.name.clone(), entry.path.clone()),
            [one, other, ..] => {
                let what = format!("{text:?} is the id of {} and of {}", one.name, other.name);
                return Err(Failure::usage(format!("{what}; give the name in full")));
            }
        },
    };
    match meant {
        Meant::OrBeginning => Ok(path),
        Meant::Exactly => Err(Failure::usage(format!(
            "{text:?} means {name}, and is not its name in full; give that, or the path of its file"
        ))),
    }
}

/// The file and name of a session to be created, if there is none of this very name yet.
pub(crate) fn find_or_name(context: &Context, text: &str) -> Result<New, Failure> {
    let store = store(context, text)?;
    if let Some(path) = store.as_ref().and_then(|store| exactly(store, text)) {
        return journal_file(&path).map(New::Existing);
    }
    let path = Path::new(text);
    if path.symlink_metadata().is_ok_and(|metadata| looks_like_path(path) || metadata.is_file()) {
        return journal_file(path).map(New::Existing);
    }
    if store.is_some()
        && text.contains(':')
        && let Some(path) = by_key(context, text)?
    {
        return journal_file(&path).map(New::Existing);
    }
    if has_extension(path) {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        return Ok(New::Path(path.to_owned(), name(&stem)?));
    }
    let name = name(text)?;
    Ok(New::Path(context.folder()?.join(name.relative_path()), name))
}

/// The session that has this key in its program's registry.
fn by_key(context: &Context, key: &str) -> Result<Option<PathBuf>, Failure> {
    Ok(context.catalogue()?.by_key(key).map(|entry| entry.path.clone()))
}

/// A session that is there, or is to be created.
#[derive(Debug)]
pub(crate) enum New {
    /// It is there.
    Existing(PathBuf),
    /// It would be created here, under this name.
    Path(PathBuf, SessionName),
}

fn name(text: &str) -> Result<SessionName, Failure> {
    text.parse().map_err(|error| Failure::usage(format!("{text:?}: {error}; choose another name")))
}

/// The store to look in, if there is one.
fn store(context: &Context, text: &str) -> Result<Option<Store>, Failure> {
    if text.is_empty() {
        // Every name begins with it; an empty variable of a script is not to choose a session.
        return Err(Failure::usage("a session's name cannot be empty; name one"));
    }
    if context.has_folder() { context.store() } else { Ok(None) }
}

fn exactly(store: &Store, text: &str) -> Option<PathBuf> {
    let name = text.parse().ok()?;
    store.exists(&name).then(|| store.path_of(&name))
}

fn looks_like_path(path: &Path) -> bool {
    path.is_absolute() || path.components().count() > 1 || has_extension(path)
}

fn has_extension(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == EXTENSION)
}

/// A path that was named must be a file: others could block, or be no journal at all.
fn journal_file(path: &Path) -> Result<PathBuf, Failure> {
    let refuse = |what: &str| {
        let what = format!("is {what}, not a journal");
        Failure::about(ErrorKind::NotAJournal, path, &what, "name a session or a journal file")
    };
    match path.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(path.to_owned()),
        Ok(metadata) => Err(refuse(kind(metadata.file_type()))),
        Err(error) => Err(Failure::about(
            if error.kind() == std::io::ErrorKind::NotFound {
                ErrorKind::NotFound
            } else {
                ErrorKind::Io
            },
            path,
            &format!("could not look at it: {error}"),
            "check the path",
        )),
    }
}

fn kind(file_type: FileType) -> &'static str {
    match file_type {
        folder if folder.is_dir() => "a folder",
        pipe if pipe.is_fifo() => "a pipe",
        socket if socket.is_socket() => "a socket",
        _ => "a device",
    }
}

/// The failure to find anything.
fn none(context: &Context, text: &str) -> Result<Failure, Failure> {
    let (kind, path) = (ErrorKind::NotFound, Path::new(text));
    if path.is_absolute() {
        return Ok(Failure::about(kind, path, "there is no such file", "check the path"));
    }
    let what = format!("no session {text:?}");
    let advice = "see the names with `sjournal ls`, or name another --store";
    Ok(Failure::about(kind, context.folder()?, &what, advice))
}
