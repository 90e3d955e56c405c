//! The options of a mount in a configuration: flags of the mount apart from options of its file system.

use rustix::mount::MountAttrFlags as Attributes;
use strata_rootfs::Propagation;

/// What a mount's options say, read from left to right: the later one holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MountOptions {
    /// Whether something that exists appears, and with everything mounted below it.
    pub(super) bind: Option<bool>,
    /// Attributes to set.
    pub(super) set: Attributes,
    /// Attributes to take away from what is bound.
    pub(super) clear: Attributes,
    /// The same for everything below.
    pub(super) recursive_set: Attributes,
    pub(super) recursive_clear: Attributes,
    /// How mounts below travel, and whether that holds for everything below.
    pub(super) propagation: Vec<(Propagation, bool)>,
    /// Whether what was at the place is copied into the new file system.
    pub(super) copy_up: bool,
    /// What only the file system understands.
    pub(super) data: Vec<String>,
}

/// (name, attributes, whether it sets them): the flags of mount(8) that the kernel has for single mounts.
const FLAGS: &[(&str, Attributes, bool)] = &[
    ("ro", Attributes::MOUNT_ATTR_RDONLY, true),
    ("rw", Attributes::MOUNT_ATTR_RDONLY, false),
    ("nosuid", Attributes::MOUNT_ATTR_NOSUID, true),
    ("suid", Attributes::MOUNT_ATTR_NOSUID, false),
    ("nodev", Attributes::MOUNT_ATTR_NODEV, true),
    ("dev", Attributes::MOUNT_ATTR_NODEV, false),
    ("noexec", Attributes::MOUNT_ATTR_NOEXEC, true),
    ("exec", Attributes::MOUNT_ATTR_NOEXEC, false),
    ("nodiratime", Attributes::MOUNT_ATTR_NODIRATIME, true),
    ("diratime", Attributes::MOUNT_ATTR_NODIRATIME, false),
    ("nosymfollow", Attributes::MOUNT_ATTR_NOSYMFOLLOW, true),
    ("symfollow", Attributes::MOUNT_ATTR_NOSYMFOLLOW, false),
    ("noatime", Attributes::MOUNT_ATTR_NOATIME, true),
    ("atime", Attributes::MOUNT_ATTR_NOATIME, false),
    ("strictatime", Attributes::MOUNT_ATTR_STRICTATIME, true),
    ("nostrictatime", Attributes::MOUNT_ATTR_STRICTATIME, false),
];

/// How access times are kept is one field of the kernel, not a flag each.
const ACCESS_TIMES: Attributes = Attributes::MOUNT_ATTR__ATIME;

impl MountOptions {
    pub(super) fn parse<Text: AsRef<str>>(options: &[Text]) -> MountOptions {
        let none = Attributes::empty();
        let mut parsed = MountOptions {
            bind: None,
            set: none,
            clear: none,
            recursive_set: none,
            recursive_clear: none,
            propagation: Vec::new(),
            copy_up: false,
            data: Vec::new(),
        };
        for option in options.iter().map(AsRef::as_ref) {
            parsed.add(option);
        }
        parsed
    }

    fn add(&mut self, option: &str) {
        match option {
            "" | "defaults" | "async" | "norelatime" | "nomand" | "nolazytime" => {}
            "bind" => self.bind = Some(self.bind.unwrap_or(false)),
            "rbind" => self.bind = Some(true),
            "tmpcopyup" => self.copy_up = true,
            // The default of the kernel; said aloud it takes the others back.
            "relatime" => change(&mut self.set, &mut self.clear, ACCESS_TIMES, false),
            "rrelatime" => change(&mut self.recursive_set, &mut self.recursive_clear, ACCESS_TIMES, false),
            "private" | "rprivate" | "slave" | "rslave" | "shared" | "rshared" | "unbindable" | "runbindable" => {
                self.propagation.extend(propagation(option));
            }
            _ => {
                let find = |name: &str| FLAGS.iter().find(|(flag, ..)| *flag == name);
                let recursive = option.strip_prefix('r').filter(|_| !matches!(option, "ro" | "rw"));
                if let Some((_, flag, set)) = find(option) {
                    change(&mut self.set, &mut self.clear, *flag, *set);
                } else if let Some((_, flag, set)) = recursive.and_then(find) {
                    change(&mut self.recursive_set, &mut self.recursive_clear, *flag, *set);
                } else {
                    self.data.push(option.to_owned());
                }
            }
        }
    }
}

/// `shared`, `rslave` and so on; also the value of `rootfsPropagation`.
pub(super) fn propagation(name: &str) -> Option<(Propagation, bool)> {
    let (name, recursive) = match name {
        "rprivate" | "rslave" | "rshared" | "runbindable" => (&name[1..], true),
        _ => (name, false),
    };
    let propagation = match name {
        "private" => Propagation::Private,
        "slave" => Propagation::Slave,
        "shared" => Propagation::Shared,
        "unbindable" => Propagation::Unbindable,
        _ => return None,
    };
    Some((propagation, recursive))
}

fn change(set: &mut Attributes, clear: &mut Attributes, flag: Attributes, on: bool) {
    let group = if ACCESS_TIMES.intersects(flag) { ACCESS_TIMES } else { flag };
    *set -= group;
    *clear |= group;
    if on {
        *set |= flag;
        // A plain flag is not taken away and given at once; a field has to be emptied first.
        if group == flag && !ACCESS_TIMES.intersects(flag) {
            *clear -= flag;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn options() {
        let parsed = MountOptions::parse(&[
            "nosuid",
            "noexec",
            "rw",
            "mode=1777",
            "size=64m",
            "tmpcopyup",
            "exec",
            "newinstance",
        ]);
        assert_eq!(parsed.set, Attributes::MOUNT_ATTR_NOSUID);
        assert_eq!(parsed.clear, Attributes::MOUNT_ATTR_RDONLY | Attributes::MOUNT_ATTR_NOEXEC);
        assert_eq!(parsed.data, ["mode=1777", "size=64m", "newinstance"]);
        assert!(parsed.copy_up && parsed.bind.is_none());

        let parsed = MountOptions::parse(&["rbind", "ro", "rnosuid", "rslave", "noatime"]);
        assert_eq!((parsed.bind, parsed.propagation), (Some(true), vec![(Propagation::Slave, true)]));
        assert_eq!(parsed.set, Attributes::MOUNT_ATTR_RDONLY | Attributes::MOUNT_ATTR_NOATIME);
        assert_eq!(parsed.clear, ACCESS_TIMES);
        assert_eq!(parsed.recursive_set, Attributes::MOUNT_ATTR_NOSUID);

        assert_eq!(MountOptions::parse(&["rbind", "bind"]).bind, Some(true));
        assert_eq!(MountOptions::parse(&["noatime", "relatime"]).set, Attributes::empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_options(options in prop::collection::vec("[a-z=0-9]{0,12}", 0..8)) {
            let parsed = MountOptions::parse(&options);
            prop_assert!(parsed.data.len() <= options.len());
        }
    }
}
