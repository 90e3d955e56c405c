//! The commands, one file each, and the tree they hang in.

mod completion;
mod container;
mod copy;
mod events;
mod export;
mod fsck;
mod help;
mod history;
mod hub;
mod image_files;
mod images;
mod import;
mod info;
mod inspect;
mod later;
mod load;
mod login;
mod logout;
mod man;
mod manifest;
mod mount;
mod network;
mod prune;
mod pull;
mod push;
mod registry_serve;
mod rmi;
mod save;
mod search;
mod serve;
mod system_df;
mod system_prune;
mod tag;
mod tags;
mod tree_view;
mod version;
mod volume;

use crate::command_line::{CommandDefinition, Group, Node};

pub(crate) use version::version_line;

/// Every command.
pub(crate) fn tree() -> Group {
    let mut children = commands([
        pull::definition(),
        push::definition(),
        images::definition(),
        history::definition(),
        inspect::definition(),
        tag::definition(),
        rmi::definition(),
        save::definition(),
        load::definition(),
        import::definition(),
        export::definition(),
        search::definition(),
        serve::definition(),
        login::definition(),
        logout::definition(),
        tags::definition(),
        copy::definition(),
        fsck::definition(),
        events::definition(),
        version::definition(),
        info::definition(),
        completion::definition(),
        completion::answer_definition(),
        man::definition(),
        help::definition(),
    ]);
    children.extend(commands(container::definitions()));
    children.extend(commands(later::definitions()));
    children.extend(
        [
            container::group(),
            image(),
            manifest_group(),
            network::group(),
            registry(),
            hub::group(),
            system(),
            volume::group(),
        ]
        .map(Node::Group),
    );
    Group { name: "strata", about: "Container images, without a daemon", children }
}

fn commands(definitions: impl IntoIterator<Item = CommandDefinition>) -> Vec<Node> {
    definitions.into_iter().map(Node::Command).collect()
}

fn image() -> Group {
    let children = commands([
        later::build(),
        history::definition(),
        import::definition(),
        inspect::image_definition(),
        load::definition(),
        images::list_definition(),
        prune::definition(),
        pull::definition(),
        push::definition(),
        rmi::definition().named("rm", &["remove", "rmi"]),
        save::definition(),
        tag::definition(),
        image_files::cat_definition(),
        image_files::diff_definition(),
        mount::mount_definition(),
        mount::unmount_definition(),
    ]);
    Group { name: "image", about: "Manage images", children }
}

fn manifest_group() -> Group {
    Group {
        name: "manifest",
        about: "Manage image manifests and manifest lists",
        children: commands(manifest::definitions()),
    }
}

fn registry() -> Group {
    Group { name: "registry", about: "Serve a registry", children: commands([registry_serve::definition()]) }
}

fn system() -> Group {
    let children = commands([
        system_df::definition(),
        system_prune::definition(),
        info::definition(),
        events::definition(),
        fsck::definition(),
    ]);
    Group { name: "system", about: "Manage the store", children }
}
