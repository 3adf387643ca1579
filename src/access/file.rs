//! The file of tokens: read as a whole, edited as a whole. Whoever reads it meanwhile sees the old one or the new one.

use super::set::TokenSet;
use super::token::Token;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Largest file: some 100,000 tokens.
const BYTES_MAX: u64 = 32 << 20;
/// Its owner reads and writes it; nobody else does anything.
const MODE: u32 = 0o600;

/// What the file holds.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Contents {
    tokens: Vec<Token>,
}

/// The tokens of a file.
///
/// # Errors
/// If it cannot be read, or is not what it must be; the message has its path.
pub fn read(path: &Path) -> Result<Vec<Token>, String> {
    read_if_there(path)?.ok_or_else(|| format!("{} is not there; `millrace token create` makes it", path.display()))
}

fn read_if_there(path: &Path) -> Result<Option<Vec<Token>>, String> {
    let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&error)),
    };
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text).map_err(|error| failed(&error))?;
    if text.trim().is_empty() {
        return Ok(Some(Vec::new()));
    }
    // without the lines around a mistake: they hold hashes, or a token that somebody wrote there
    let read = serde_saphyr::from_str::<Contents>(&text).map_err(|error| failed(&error.without_snippet()))?;
    TokenSet::new(&read.tokens).map_err(|why| failed(&why))?;
    Ok(Some(read.tokens))
}

/// Changes the tokens of a file, which is made if it is not there. Two who do so take turns.
///
/// # Errors
/// If `change` fails, or the file cannot be read or written; it is as it was then.
pub fn edit<T>(path: &Path, change: impl FnOnce(&mut Vec<Token>) -> Result<T, String>) -> Result<T, String> {
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let lock = beside(path, ".lock");
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(MODE).open(&lock).map_err(failed)?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
    let mut tokens = read_if_there(path)?.unwrap_or_default();
    let changed = change(&mut tokens)?;
    TokenSet::new(&tokens)?;
    let text = serde_saphyr::to_string(&Contents { tokens }).map_err(|error| error.to_string())?;
    replace(path, text.as_bytes()).map_err(failed)?;
    Ok(changed)
}

/// Puts a whole new file in the place of an old one, with its owner.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = beside(path, ".unfinished");
    match std::fs::remove_file(&unfinished) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&unfinished)?;
    if let Ok(old) = std::fs::metadata(path) {
        let new = file.metadata()?;
        // root edits the file of the service's user, which must be able to read it afterwards
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))?;
        }
    }
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    File::open(folder(path))?.sync_all()
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::super::token::{Scope, TokenHash};
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn token(name: &str) -> Token {
        Token {
            name: name.to_owned(),
            workspaces: vec!["*".to_owned()],
            scopes: vec![Scope::Ingest],
            expires: None,
            hash: TokenHash::of(name.as_bytes()),
        }
    }

    fn add(path: &Path, name: &str) -> Result<(), String> {
        edit(path, |tokens| {
            tokens.push(token(name));
            Ok(())
        })
    }

    #[test]
    fn an_edit_is_whole_or_leaves_everything_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.yaml");
        assert!(read(&path).unwrap_err().contains("millrace token create"));
        add(&path, "a").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        add(&path, "b").unwrap();
        let names = |path: &Path| read(path).unwrap().into_iter().map(|token| token.name).collect::<Vec<_>>();
        assert_eq!(names(&path), ["a", "b"]);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // what a killed edit left behind does not matter
        std::fs::write(folder.path().join("tokens.yaml.unfinished"), "tokens: [").unwrap();
        assert!(add(&path, "b").unwrap_err().contains("two tokens have the name b"));
        assert!(edit(&path, |_| Err::<(), _>("no".to_owned())).is_err());
        assert_eq!(names(&path), ["a", "b"]);
        add(&path, "c").unwrap();
        assert_eq!(names(&path), ["a", "b", "c"]);
    }

    #[test]
    fn edits_at_once_take_turns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.yaml");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let path = &path;
                scope.spawn(move || add(path, &format!("t{number}")).unwrap());
            }
        });
        assert_eq!(read(&path).unwrap().len(), 8);
    }

    #[test]
    fn what_is_wrong_is_said_without_the_lines_around_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.yaml");
        std::fs::write(&path, "tokens:\n- { name: a, workspaces: ['*'], scopes: [read], hash: millrace_planted }\n")
            .unwrap();
        let error = read(&path).unwrap_err();
        assert!(error.contains("tokens.yaml") && !error.contains("planted"), "{error}");
    }
}
