//! Users and groups by name, as an image's own `/etc/passwd` and `/etc/group` have them.
//!
//! The grammar and the meaning are Docker's (`USER`, `--user`): `user`, `user:group`, each a name or a number; a number that
//! the files do not know is taken as it is. Lines that are not of the files' form are skipped.

use std::fs::File;
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use crate::error::RuntimeError;

/// Longest `/etc/passwd` or `/etc/group` that is read, in bytes.
const LONGEST: u64 = 16 << 20;

/// Who a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User.
    pub uid: u32,
    /// Its first group.
    pub gid: u32,
    /// All groups that it is in, the first among them.
    pub groups: Vec<u32>,
    /// Its directory; `/` when it has none.
    pub home: PathBuf,
}

/// The two files of an image, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    passwd: Vec<u8>,
    group: Vec<u8>,
}

struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: Vec<&'a str>,
}

impl Accounts {
    /// From the contents of the files; empty when a file does not exist.
    pub fn new(passwd: Vec<u8>, group: Vec<u8>) -> Accounts {
        Accounts { passwd, group }
    }

    /// Reads them below an open root. No link leads out of it; a file that is none, or cannot be read, is as if empty.
    pub fn read(root: BorrowedFd<'_>) -> Accounts {
        Accounts { passwd: read_inside(root, "etc/passwd"), group: read_inside(root, "etc/group") }
    }

    /// Who `user` is: empty is root. `additional` are further groups, as of `--group-add`.
    ///
    /// # Errors
    /// When a name is not in the files, or a number is larger than 2^31-1.
    pub fn resolve(&self, user: &str, additional: &[String]) -> Result<Identity, RuntimeError> {
        let (user_part, group_part) = match user.split_once(':') {
            Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
            None => (user, None),
        };
        let known = self.user(user_part)?;
        let uid = match &known {
            Some(known) => known.uid,
            None => number(user_part)?.unwrap_or(0),
        };
        let mut groups: Vec<u32> = Vec::new();
        let gid = match group_part {
            Some(group) => self.gid(group)?,
            None => {
                if let Some(known) = &known {
                    let own = self.groups().filter(|group| group.members.contains(&known.name));
                    groups.extend(own.map(|group| group.gid).filter(|gid| *gid != known.gid));
                }
                known.as_ref().map_or(0, |known| known.gid)
            }
        };
        // The first group is named among the others too, so that it cannot be left (CVE-2022-36109).
        groups.insert(0, gid);
        for group in additional {
            groups.push(self.gid(group).map_err(|error| match error {
                RuntimeError::NotFound(_) => {
                    RuntimeError::NotFound(format!("Unable to find group {group}: no matching entries in group file"))
                }
                other => other,
            })?);
        }
        let mut seen = std::collections::HashSet::new();
        groups.retain(|group| seen.insert(*group));
        let home = known.map(|known| known.home).filter(|home| home.starts_with('/')).unwrap_or("/");
        Ok(Identity { uid, gid, groups, home: PathBuf::from(home) })
    }

    /// The directory of a user.
    pub fn home(&self, uid: u32) -> PathBuf {
        let home = self.users().find(|user| user.uid == uid).map(|user| user.home);
        PathBuf::from(home.filter(|home| home.starts_with('/')).unwrap_or("/"))
    }

    /// The user of that name, or of that number, when the files know it.
    fn user(&self, wanted: &str) -> Result<Option<User<'_>>, RuntimeError> {
        let wanted = if wanted.is_empty() { "0" } else { wanted };
        if let Some(user) = self.users().find(|user| user.name == wanted) {
            return Ok(Some(user));
        }
        match number(wanted)? {
            Some(uid) => Ok(self.users().find(|user| user.uid == uid)),
            None => {
                Err(RuntimeError::NotFound(format!("unable to find user {wanted}: no matching entries in passwd file")))
            }
        }
    }

    fn gid(&self, wanted: &str) -> Result<u32, RuntimeError> {
        if let Some(group) = self.groups().find(|group| group.name == wanted) {
            return Ok(group.gid);
        }
        number(wanted)?.ok_or_else(|| {
            RuntimeError::NotFound(format!("unable to find group {wanted}: no matching entries in group file"))
        })
    }

    fn users(&self) -> impl Iterator<Item = User<'_>> {
        lines(&self.passwd).filter_map(|line| {
            let mut fields = line.split(':');
            let (name, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            let home = fields.nth(1).unwrap_or("");
            Some(User { name, uid: uid.parse().ok()?, gid: gid.parse().ok()?, home })
        })
    }

    fn groups(&self) -> impl Iterator<Item = Group<'_>> {
        lines(&self.group).filter_map(|line| {
            let mut fields = line.split(':');
            let (name, _, gid) = (fields.next()?, fields.next()?, fields.next()?);
            let members = fields.next().unwrap_or("").split(',').filter(|member| !member.is_empty()).collect();
            Some(Group { name, gid: gid.parse().ok()?, members })
        })
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &str> {
    text.split(|byte| *byte == b'\n')
        .filter_map(|line| std::str::from_utf8(line).ok())
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// A number that an ID can be; `None` for a name.
fn number(text: &str) -> Result<Option<u32>, RuntimeError> {
    match text.parse::<i64>() {
        Ok(number) => match u32::try_from(number).ok().filter(|number| i32::try_from(*number).is_ok()) {
            Some(number) => Ok(Some(number)),
            None => Err(RuntimeError::Invalid(format!("uids and gids must be in range 0-{}: {text} is not", i32::MAX))),
        },
        Err(_) => Ok(None),
    }
}

fn read_inside(root: BorrowedFd<'_>, path: &str) -> Vec<u8> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let mut text = Vec::new();
    if let Ok(file) = openat2(root, Path::new(path), flags, Mode::empty(), resolve) {
        let file = File::from(file);
        if file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            let _ = file.take(LONGEST).read_to_end(&mut text);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use proptest::prelude::*;

    use super::*;

    fn accounts() -> Accounts {
        Accounts::new(
            b"root:x:0:0:root:/root:/bin/sh\n# a comment\nbroken line\nwww-data:x:33:33::/var/www:/bin/sh\n\
              bad:x:many:1:::\n1000:x:7:8::relative:\ndeveloper:x:1000:1000:,,,:/home/developer:/bin/bash\n"
                .to_vec(),
            b"root:x:0:\nadm:x:4:www-data,developer\nwww-data:x:33:\ndocker:x:999:developer\nbad:x:y:developer\n"
                .to_vec(),
        )
    }

    #[test]
    fn users() {
        let identity = |uid, gid, groups: &[u32], home: &str| {
            Some(Identity { uid, gid, groups: groups.to_vec(), home: home.into() })
        };
        for (user, additional, expected) in [
            ("", &[][..], identity(0, 0, &[0], "/root")),
            ("root", &[], identity(0, 0, &[0], "/root")),
            ("www-data", &[], identity(33, 33, &[33, 4], "/var/www")),
            ("33", &[], identity(33, 33, &[33, 4], "/var/www")),
            ("developer", &["adm", "1234"], identity(1000, 1000, &[1000, 4, 999, 1234], "/home/developer")),
            ("developer:www-data", &[], identity(1000, 33, &[33], "/home/developer")),
            ("developer:", &[], identity(1000, 1000, &[1000, 4, 999], "/home/developer")),
            ("4711", &[], identity(4711, 0, &[0], "/")),
            ("4711:4712", &[], identity(4711, 4712, &[4712], "/")),
            // A name of digits comes before a number.
            ("1000", &[], identity(7, 8, &[8], "/")),
            ("nobody", &[], None),
            ("root:nobody", &[], None),
            ("2147483648", &[], None),
            ("-1", &[], None),
            ("root", &["nobody"], None),
        ] {
            let additional: Vec<String> = additional.iter().map(|group| (*group).to_owned()).collect();
            assert_eq!(accounts().resolve(user, &additional).ok(), expected, "{user:?} {additional:?}");
        }
    }

    #[test]
    fn no_link_leads_out() {
        let outside = tempfile::tempdir().unwrap();
        let root = outside.path().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(outside.path().join("passwd"), "evil:x:5:5::/:/").unwrap();
        for target in
            [outside.path().join("passwd"), PathBuf::from("../../passwd"), PathBuf::from("/proc/self/root/etc/passwd")]
        {
            let _ = std::fs::remove_file(root.join("etc/passwd"));
            std::os::unix::fs::symlink(&target, root.join("etc/passwd")).unwrap();
            let handle = File::open(&root).unwrap();
            assert_eq!(Accounts::read(handle.as_fd()), Accounts::default(), "{}", target.display());
        }
        // A link inside is followed.
        std::fs::write(root.join("passwd"), "good:x:5:5::/:/\n").unwrap();
        std::fs::remove_file(root.join("etc/passwd")).unwrap();
        std::os::unix::fs::symlink("/passwd", root.join("etc/passwd")).unwrap();
        let accounts = Accounts::read(File::open(&root).unwrap().as_fd());
        assert_eq!(accounts.resolve("good", &[]).unwrap().uid, 5);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_bytes(
            passwd in prop::collection::vec(any::<u8>(), 0..200), lines in "([a-z0-9:,#]{0,20}\n){0,8}", user in "[a-z0-9:-]{0,12}",
        ) {
            let _ = Accounts::new(passwd, lines.clone().into_bytes()).resolve(&user, std::slice::from_ref(&user));
            let _ = Accounts::new(lines.clone().into_bytes(), lines.into_bytes()).resolve(&user, &[]);
        }
    }
}
