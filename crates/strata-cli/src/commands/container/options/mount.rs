//! `--mount`: mounts in the long form, as docker 28 reads it.

use strata_engine::document::{BindOptions, MountRequest, TmpfsOptions, VolumeOptions};
use strata_format::size;

use super::split;

/// `type=…,source=…,target=…` with options.
pub(super) fn mount(text: &str) -> Result<MountRequest, String> {
    let mut request = MountRequest { kind: "volume".into(), ..MountRequest::default() };
    let (mut bind, mut volume, mut memory) =
        (BindOptions::default(), VolumeOptions::default(), TmpfsOptions::default());
    for field in text.split(',') {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_ascii_lowercase(), value),
            None => (field.to_ascii_lowercase(), ""),
        };
        let may_stand_alone = matches!(key.as_str(), "readonly" | "ro" | "volume-nocopy" | "bind-nonrecursive");
        if !field.contains('=') && !may_stand_alone {
            return Err(format!("invalid field '{field}' must be a key=value pair"));
        }
        let wrong = || format!("invalid value for {key}: {value}");
        let is_on = || match value {
            "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            _ => Err(wrong()),
        };
        match key.as_str() {
            "type" => request.kind = value.to_ascii_lowercase(),
            "source" | "src" => request.source = value.into(),
            "target" | "dst" | "destination" => request.target = value.into(),
            "readonly" | "ro" => request.read_only = is_on()?,
            "consistency" => {}
            "bind-propagation" => bind.propagation = value.to_ascii_lowercase(),
            "bind-nonrecursive" => bind.non_recursive = is_on()?,
            "bind-recursive" => match value {
                "enabled" => {}
                "disabled" => bind.non_recursive = true,
                "writable" => bind.read_only_non_recursive = true,
                "readonly" => bind.read_only_force_recursive = true,
                _ => {
                    return Err(format!(
                        "invalid value for {key}: {value} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")"
                    ));
                }
            },
            "volume-nocopy" => volume.no_copy = is_on()?,
            "volume-label" => volume.labels.extend(split(&[value.to_owned()])),
            "volume-driver" => volume.driver_config.get_or_insert_default().name = value.into(),
            "volume-opt" => {
                volume.driver_config.get_or_insert_default().options.extend(split(&[value.to_owned()]));
            }
            "tmpfs-size" => memory.size_bytes = size::parse_binary(value).map_err(|_| wrong())? as i64,
            "tmpfs-mode" => memory.mode = u32::from_str_radix(value, 8).map_err(|_| wrong())?,
            _ => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
    }
    if request.target.is_empty() {
        return Err("target is required".to_owned());
    }
    if request.kind == "bind" && request.source.starts_with('.') {
        request.source = std::path::absolute(&request.source).map_err(|cause| cause.to_string())?.display().to_string();
    }
    request.bind_options = (bind != BindOptions::default()).then_some(bind);
    request.volume_options = (volume != VolumeOptions::default()).then_some(volume);
    request.tmpfs_options = (memory != TmpfsOptions::default()).then_some(memory);
    let given = [
        ("bind", request.bind_options.is_some()),
        ("volume", request.volume_options.is_some()),
        ("tmpfs", request.tmpfs_options.is_some()),
    ];
    let foreign = given.into_iter().find(|(kind, is_given)| *is_given && *kind != request.kind);
    if let (Some((kind, _)), true) = (foreign, matches!(request.kind.as_str(), "bind" | "volume" | "tmpfs")) {
        return Err(format!("cannot mix '{kind}-*' options with mount type '{}'", request.kind));
    }
    let recursion = request.bind_options.as_ref().filter(|_| !request.read_only);
    let wrong_recursion = recursion.and_then(|bind| match () {
        () if bind.read_only_non_recursive => Some("writable"),
        () if bind.read_only_force_recursive => Some("readonly"),
        () => None,
    });
    if let Some(value) = wrong_recursion {
        return Err(format!("option 'bind-recursive={value}' requires 'readonly' to be specified in conjunction"));
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_mounts() {
        let request = mount("type=bind,src=/a,dst=/b,readonly").unwrap();
        assert_eq!((request.kind.as_str(), request.read_only), ("bind", true));
        let request = mount("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1777").unwrap();
        assert_eq!(request.tmpfs_options, Some(TmpfsOptions { size_bytes: 1 << 20, mode: 0o1777 }));
        // As docker 28 says it.
        for (text, told) in [
            ("type=volume", "target is required"),
            ("foo=1,target=/x", "unexpected key 'foo' in 'foo=1'"),
            ("type=bind,src=/a,dst=/b,volume-nocopy", "cannot mix 'volume-*' options with mount type 'bind'"),
            ("type=tmpfs,dst=/b,bind-propagation=shared", "cannot mix 'bind-*' options with mount type 'tmpfs'"),
            ("type=tmpfs,dst=/b,tmpfs-size=x", "invalid value for tmpfs-size: x"),
            ("type=tmpfs,dst=/b,tmpfs-mode=9", "invalid value for tmpfs-mode: 9"),
            ("target=/x,ro=maybe", "invalid value for ro: maybe"),
            ("foo", "invalid field 'foo' must be a key=value pair"),
            (
                "type=bind,src=/tmp,dst=/b,bind-recursive=foo",
                "invalid value for bind-recursive: foo (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")",
            ),
        ] {
            assert_eq!(mount(text).unwrap_err(), told, "{text}");
        }
    }
}
