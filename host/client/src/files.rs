//! Copies on disk: what servers said last (for a start without them), and what an operator put there to go before it.
//!
//! Layout and names are those of the Java client, so that its files are read and its tools work. A file is replaced
//! whole or not at all.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

/// Name of the switch in the failover folder; its first line is `1` or `0`.
const SWITCH: &str = "00-00---000-VIPSRV_FAILOVER_SWITCH-000---00-00";

/// A name as part of a path, unless it would lead elsewhere.
fn part(name: &str) -> Option<&Path> {
    let path = Path::new(name);
    let mut parts = path.components();
    let plain = matches!(parts.next(), Some(Component::Normal(_))) && parts.next().is_none();
    (plain && !name.contains('\\')).then_some(path)
}

fn read(path: &Path) -> Option<String> {
    match fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!("{} cannot be read: {error}", path.display());
            None
        }
    }
}

/// Replaces a file as a whole.
pub(crate) fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    let replace = || {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        fs::write(&new, bytes)?;
        fs::rename(&new, path)
    };
    if let Err(error) = replace() {
        tracing::warn!("{} cannot be written: {error}", path.display());
    }
}

/// Files of services: `<cache>/naming/<namespace>/…`.
#[derive(Clone, Debug)]
pub(crate) struct NamingFiles(PathBuf);

impl NamingFiles {
    pub(crate) fn new(cache: &Path, namespace: &str) -> Option<Self> {
        Some(Self(cache.join("naming").join(part(namespace)?)))
    }

    fn name(key: &str) -> String {
        form_urlencoded::byte_serialize(key.as_bytes()).collect()
    }

    /// Writes what the server says of `GROUP@@SERVICE`.
    pub(crate) fn save(&self, key: &str, json: &str) {
        write(&self.0.join(Self::name(key)), json);
    }

    /// All that was saved: keys and texts.
    pub(crate) fn load(&self) -> Vec<(String, String)> {
        Self::all(&self.0)
    }

    /// What is in the failover folder, if its switch is on.
    pub(crate) fn failover(&self) -> Option<Vec<(String, String)>> {
        let folder = self.0.join("failover");
        let switch = read(&folder.join(SWITCH))?;
        let on = switch.lines().any(|line| line.trim() == "1");
        on.then(|| Self::all(&folder))
    }

    fn all(folder: &Path) -> Vec<(String, String)> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                if name == SWITCH || name.ends_with(".new") || !entry.file_type().ok()?.is_file() {
                    return None;
                }
                // The one pair of a form: its name is the text.
                let (key, _) = form_urlencoded::parse(name.as_bytes()).next()?;
                Some((key.into_owned(), read(&entry.path())?))
            })
            .collect()
    }
}

/// Files of configs: `<cache>/config/<list name>_nacos/…`.
#[derive(Clone, Debug)]
pub(crate) struct ConfigFiles {
    folder: PathBuf,
    tenant: String,
}

impl ConfigFiles {
    pub(crate) fn new(cache: &Path, list: &str, tenant: &str) -> Self {
        Self {
            folder: cache.join("config").join(format!("{list}_nacos")),
            tenant: tenant.into(),
        }
    }

    fn path(&self, plain: &str, with_tenant: &str, group: &str, data_id: &str) -> Option<PathBuf> {
        let folder = if self.tenant.is_empty() {
            self.folder.join(plain)
        } else {
            self.folder.join(with_tenant).join(part(&self.tenant)?)
        };
        Some(folder.join(part(group)?).join(part(data_id)?))
    }

    fn snapshot_path(&self, group: &str, data_id: &str) -> Option<PathBuf> {
        self.path("snapshot", "snapshot-tenant", group, data_id)
    }

    /// What an operator put in the place of the server's content.
    pub(crate) fn failover(&self, group: &str, data_id: &str) -> Option<String> {
        read(&self.path(
            "data/config-data",
            "data/config-data-tenant",
            group,
            data_id,
        )?)
    }

    /// What the server said last.
    pub(crate) fn snapshot(&self, group: &str, data_id: &str) -> Option<String> {
        read(&self.snapshot_path(group, data_id)?)
    }

    /// Keeps what the server says; none forgets it.
    pub(crate) fn keep(&self, group: &str, data_id: &str, content: Option<&str>) {
        let Some(path) = self.snapshot_path(group, data_id) else {
            return;
        };
        match content {
            Some(content) => write(&path, content),
            None => {
                if let Err(error) = fs::remove_file(&path)
                    && error.kind() != io::ErrorKind::NotFound
                {
                    tracing::warn!("{} cannot be removed: {error}", path.display());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_java_client() {
        let path = |tenant: &str| {
            ConfigFiles::new(Path::new("/c"), "fixed-a_1", tenant).snapshot_path("g", "d")
        };
        let is = |path: Option<PathBuf>, want: &str| assert_eq!(path, Some(PathBuf::from(want)));
        is(path(""), "/c/config/fixed-a_1_nacos/snapshot/g/d");
        is(path("t"), "/c/config/fixed-a_1_nacos/snapshot-tenant/t/g/d");
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let files = ConfigFiles::new(Path::new("/c"), "l", "");
        for bad in ["..", ".", "a/b", "/a", "", "a\\b"] {
            assert_eq!(files.snapshot_path(bad, "d"), None, "{bad}");
            assert_eq!(files.snapshot_path("g", bad), None, "{bad}");
            assert!(NamingFiles::new(Path::new("/c"), bad).is_none(), "{bad}");
        }
        assert_eq!(NamingFiles::name("g@@a/../b"), "g%40%40a%2F..%2Fb");
    }

    #[test]
    fn services_are_saved_and_the_failover_folder_has_a_switch() {
        let folder = tempfile::tempdir().unwrap();
        let files = NamingFiles::new(folder.path(), "public").unwrap();
        assert!(files.load().is_empty());
        files.save("g@@s", "{}");
        assert_eq!(files.load(), [("g@@s".into(), "{}".into())]);
        let failover = folder.path().join("naming/public/failover");
        fs::create_dir_all(&failover).unwrap();
        fs::write(failover.join("g%40%40s"), "[]").unwrap();
        assert!(files.failover().is_none(), "there is no switch");
        fs::write(failover.join(SWITCH), "0").unwrap();
        assert!(files.failover().is_none());
        fs::write(failover.join(SWITCH), "1\n").unwrap();
        assert_eq!(files.failover().unwrap(), [("g@@s".into(), "[]".into())]);
    }
}
