//! Seccomp profiles in docker's JSON: that of the OCI configuration, with rules that hold only on some architectures, for
//! some capabilities or from some kernel on.
//!
//! Source: `profiles/seccomp` of moby (`seccomp.go`, `seccomp_linux.go`, `kernel_linux.go`).

use std::collections::BTreeSet;

use oci_spec::runtime::{Capability, LinuxSeccomp};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: String,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Option<Vec<String>>,
    #[serde(default)]
    arch_map: Option<Vec<Architecture>>,
    #[serde(default)]
    flags: Option<Vec<String>>,
    #[serde(default)]
    syscalls: Option<Vec<Rule>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Architecture {
    architecture: String,
    #[serde(default)]
    sub_architectures: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    name: Option<String>,
    #[serde(default)]
    names: Option<Vec<String>>,
    action: String,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<Argument>>,
    #[serde(default)]
    includes: Option<Condition>,
    #[serde(default)]
    excludes: Option<Condition>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: usize,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    #[serde(default)]
    caps: Option<Vec<String>>,
    #[serde(default)]
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// The profile that a text means for a process with these capabilities on this machine.
///
/// # Errors
/// What is wrong with it, in docker's words where it has some.
pub fn seccomp_profile(text: &str, capabilities: &[Capability]) -> Result<LinuxSeccomp, String> {
    let decoding = |cause: serde_json::Error| format!("decoding seccomp profile failed: {cause}");
    let profile: Profile = serde_json::from_str(text).map_err(decoding)?;
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let named = |capability| serde_json::to_value(capability).ok()?.as_str().map(str::to_owned);
    let capabilities = capabilities.iter().filter_map(named).collect();
    let here = Machine { architecture: architecture(), kernel: kernel(&release).unwrap_or_default(), capabilities };
    let (listed, mapped) = (profile.architectures.unwrap_or_default(), profile.arch_map.unwrap_or_default());
    if !listed.is_empty() && !mapped.is_empty() {
        return Err("both 'architectures' and 'archMap' are specified in the seccomp profile, use either \
                    'architectures' or 'archMap'"
            .into());
    }
    let architectures: Vec<String> = match mapped.into_iter().find(|entry| entry.architecture == scmp_architecture()) {
        Some(entry) => std::iter::once(entry.architecture).chain(entry.sub_architectures.unwrap_or_default()).collect(),
        None => listed,
    };
    let mut calls = Vec::new();
    for rule in profile.syscalls.unwrap_or_default() {
        let names = match (rule.name, rule.names.unwrap_or_default()) {
            (Some(_), names) if !names.is_empty() => {
                return Err("both 'name' and 'names' are specified in the seccomp profile, use either 'name' or \
                            'names'"
                    .into());
            }
            (Some(name), _) => vec![name],
            (None, names) => names,
        };
        let holds = rule.includes.is_none_or(|condition| here.has_all(&condition))
            && !rule.excludes.is_some_and(|condition| here.has_any(&condition));
        if !holds || names.is_empty() {
            continue;
        }
        let arguments: Vec<Value> = rule.args.unwrap_or_default().into_iter().map(|argument| {
            json!({ "index": argument.index, "value": argument.value, "valueTwo": argument.value_two, "op": argument.op })
        }).collect();
        let mut call = json!({ "names": names, "action": rule.action });
        if let Some(number) = rule.errno_ret {
            call["errnoRet"] = number.into();
        }
        if !arguments.is_empty() {
            call["args"] = arguments.into();
        }
        calls.push(call);
    }
    let mut made = json!({ "defaultAction": profile.default_action, "syscalls": calls });
    if let Some(number) = profile.default_errno_ret {
        made["defaultErrnoRet"] = number.into();
    }
    if !architectures.is_empty() {
        made["architectures"] = architectures.into();
    }
    if let Some(flags) = profile.flags {
        made["flags"] = flags.into();
    }
    let made: LinuxSeccomp = serde_json::from_value(made).map_err(decoding)?;
    crate::seccomp::compile(&made).map_err(|cause| format!("decoding seccomp profile failed: {cause}"))?;
    Ok(made)
}

struct Machine {
    architecture: &'static str,
    kernel: (u32, u32),
    /// Names of those that the program has.
    capabilities: BTreeSet<String>,
}

impl Machine {
    /// Whether everything holds that a rule asks for.
    fn has_all(&self, condition: &Condition) -> bool {
        self.is_one_of(condition.arches.as_deref()) != Some(false)
            && condition.caps.iter().flatten().all(|name| self.has(name))
            && self.is_from(condition.min_kernel.as_deref()) != Some(false)
    }

    /// Whether anything holds that excludes a rule.
    fn has_any(&self, condition: &Condition) -> bool {
        self.is_one_of(condition.arches.as_deref()) == Some(true)
            || condition.caps.iter().flatten().any(|name| self.has(name))
            || self.is_from(condition.min_kernel.as_deref()) == Some(true)
    }

    fn has(&self, name: &str) -> bool {
        self.capabilities.contains(name)
    }

    fn is_one_of(&self, architectures: Option<&[String]>) -> Option<bool> {
        let listed = architectures.filter(|listed| !listed.is_empty())?;
        Some(listed.iter().any(|name| name == self.architecture))
    }

    fn is_from(&self, least: Option<&str>) -> Option<bool> {
        Some(self.kernel >= kernel(least?)?)
    }
}

/// The first two numbers of a kernel's version.
fn kernel(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// As Go calls it.
fn architecture() -> &'static str {
    if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }
}

fn scmp_architecture() -> &'static str {
    if cfg!(target_arch = "x86_64") { "SCMP_ARCH_X86_64" } else { "SCMP_ARCH_AARCH64" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_hold_where_they_say() {
        let text = r#"{
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
            "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
                        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []}],
            "syscalls": [
                {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "", "includes": {}, "excludes": {}},
                {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
                {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
                {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
                {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.0"}},
                {"names": ["acct"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["s390x"]}},
                {"name": "socket", "action": "SCMP_ACT_ALLOW",
                 "args": [{"index": 0, "value": 40, "valueTwo": 0, "op": "SCMP_CMP_NE"}]}
            ]
        }"#;
        let names = |capabilities: &[Capability]| {
            let profile = seccomp_profile(text, capabilities).unwrap();
            let calls = profile.syscalls().clone().unwrap_or_default();
            calls.iter().flat_map(|call| call.names().clone()).collect::<Vec<String>>()
        };
        assert_eq!(names(&[]), ["read", "write", "clone3", "ptrace", "socket"]);
        assert_eq!(names(&[Capability::SysAdmin]), ["read", "write", "mount", "ptrace", "socket"]);
    }

    #[test]
    fn what_is_no_profile() {
        for (text, told) in [
            ("{", "decoding seccomp profile failed"),
            (r#"{"defaultAction": "SCMP_ACT_WHAT"}"#, "decoding seccomp profile failed"),
            (
                r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "a", "names": ["b"], "action": "SCMP_ACT_ERRNO"}]}"#,
                "both 'name' and 'names' are specified",
            ),
        ] {
            let refused = seccomp_profile(text, &[]).unwrap_err();
            assert!(refused.starts_with(told), "{text}: {refused}");
        }
    }
}
