//! Sets of capabilities: from the configuration into the kernel's bits, and into this process.

use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capability_is_in_bounding_set, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
};

use super::message::{Failure, Stage};

/// The number of a capability in the kernel (`linux/capability.h`).
pub(crate) fn number(capability: Capability) -> u32 {
    use Capability as C;
    match capability {
        C::Chown => 0,
        C::DacOverride => 1,
        C::DacReadSearch => 2,
        C::Fowner => 3,
        C::Fsetid => 4,
        C::Kill => 5,
        C::Setgid => 6,
        C::Setuid => 7,
        C::Setpcap => 8,
        C::LinuxImmutable => 9,
        C::NetBindService => 10,
        C::NetBroadcast => 11,
        C::NetAdmin => 12,
        C::NetRaw => 13,
        C::IpcLock => 14,
        C::IpcOwner => 15,
        C::SysModule => 16,
        C::SysRawio => 17,
        C::SysChroot => 18,
        C::SysPtrace => 19,
        C::SysPacct => 20,
        C::SysAdmin => 21,
        C::SysBoot => 22,
        C::SysNice => 23,
        C::SysResource => 24,
        C::SysTime => 25,
        C::SysTtyConfig => 26,
        C::Mknod => 27,
        C::Lease => 28,
        C::AuditWrite => 29,
        C::AuditControl => 30,
        C::Setfcap => 31,
        C::MacOverride => 32,
        C::MacAdmin => 33,
        C::Syslog => 34,
        C::WakeAlarm => 35,
        C::BlockSuspend => 36,
        C::AuditRead => 37,
        C::Perfmon => 38,
        C::Bpf => 39,
        C::CheckpointRestore => 40,
    }
}

/// Whether this process could give the capability to another: the machine may have taken it away from its root.
pub(crate) fn is_available(capability: Capability) -> bool {
    let bit = CapabilitySet::from_bits_retain(1 << number(capability));
    capability_is_in_bounding_set(bit).unwrap_or(false)
}

/// The sets of a process as the kernel has them. Capabilities that this kernel does not know are left out, as runc does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sets {
    bounding: u64,
    effective: u64,
    inheritable: u64,
    permitted: u64,
    ambient: u64,
}

impl Sets {
    pub(super) fn of(capabilities: Option<&LinuxCapabilities>) -> Sets {
        let known = known();
        let bits = |set: &Option<Capabilities>| {
            set.iter().flatten().fold(0, |bits, capability| bits | 1u64 << number(*capability)) & known
        };
        capabilities.map_or_else(Sets::default, |sets| Sets {
            bounding: bits(sets.bounding()),
            effective: bits(sets.effective()),
            inheritable: bits(sets.inheritable()),
            permitted: bits(sets.permitted()),
            ambient: bits(sets.ambient()),
        })
    }

    /// All that this process may have: for `exec --privileged`.
    pub(super) fn all() -> Sets {
        let own = rustix::thread::capabilities(None).map_or(0, |sets| sets.permitted.bits());
        let all = known() & own;
        Sets { bounding: all, effective: all, inheritable: 0, permitted: all, ambient: 0 }
    }

    /// Takes away what the process may never get back, while it still can.
    pub(super) fn limit_bounding(&self) -> Result<(), Failure> {
        let failed = |cause| Failure::system(Stage::Identity, "dropping capabilities", cause);
        for capability in single(known() & !self.bounding) {
            remove_capability_from_bounding_set(capability).map_err(failed)?;
        }
        Ok(())
    }

    /// Gives the process its sets, after its user has been changed.
    pub(super) fn apply(&self) -> Result<(), Failure> {
        let failed = |action| move |cause| Failure::system(Stage::Identity, action, cause);
        let set = CapabilitySet::from_bits_retain;
        set_capabilities(
            None,
            CapabilitySets {
                effective: set(self.effective),
                permitted: set(self.permitted),
                inheritable: set(self.inheritable),
            },
        )
        .map_err(failed("setting capabilities"))?;
        clear_ambient_capability_set().map_err(failed("clearing ambient capabilities"))?;
        for capability in single(self.ambient) {
            configure_capability_in_ambient_set(capability, true).map_err(failed("setting ambient capabilities"))?;
        }
        Ok(())
    }
}

/// The capabilities that this kernel knows.
fn known() -> u64 {
    single(u64::MAX >> 1)
        .take_while(|capability| capability_is_in_bounding_set(*capability).is_ok())
        .fold(0, |bits, capability| bits | capability.bits())
}

fn single(bits: u64) -> impl Iterator<Item = CapabilitySet> {
    (0..63).map(|bit| 1u64 << bit).filter(move |bit| bits & bit != 0).map(CapabilitySet::from_bits_retain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_a_configuration() {
        let sets: LinuxCapabilities = serde_json::from_str(
            r#"{"bounding":["CAP_CHOWN","CAP_KILL"],"effective":["CAP_KILL"],"permitted":["CAP_CHOWN"]}"#,
        )
        .unwrap();
        let expected = Sets { bounding: 0b100001, effective: 0b100000, permitted: 1, ..Sets::default() };
        assert_eq!(Sets::of(Some(&sets)), expected);
        assert_eq!(Sets::of(None), Sets::default());
        assert!(Sets::all().bounding & 1 << number(Capability::SysAdmin) != 0);
    }
}
