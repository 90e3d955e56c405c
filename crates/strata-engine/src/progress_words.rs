//! What docker calls the states of a layer, and the names of layers in a push.

use std::collections::{HashMap, HashSet};

use strata_model::{DiffId, Digest};
use strata_transfer::{Phase, ProgressEvent};

/// In whose words progress is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// Of a pull.
    Pull,
    /// Of a push.
    Push,
    /// Of a load.
    Load,
    /// Of a save.
    Save,
    /// Of a copy between places.
    Copy,
}

impl Words {
    /// The status of a phase; empty when there is nothing to say.
    pub fn status(self, phase: Phase) -> String {
        let text = match (self, phase) {
            (_, Phase::Retrying { seconds: 1 }) => "Retrying in 1 second",
            (_, Phase::Retrying { seconds }) => return format!("Retrying in {seconds} seconds"),
            (Words::Push, Phase::Queued) => "Preparing",
            (Words::Load, Phase::Queued) => "",
            (_, Phase::Queued) => "Pulling fs layer",
            (_, Phase::Waiting) => "Waiting",
            (Words::Push, Phase::Downloading | Phase::Uploading) => "Pushing",
            (Words::Load, Phase::Downloading | Phase::Uploading | Phase::Extracting) => "Loading layer",
            (Words::Save, Phase::Downloading | Phase::Uploading | Phase::Extracting) => "Saving layer",
            (Words::Copy, Phase::Downloading | Phase::Uploading) => "Copying",
            (Words::Pull, Phase::Downloading | Phase::Uploading) => "Downloading",
            (_, Phase::DownloadComplete) => "Download complete",
            (_, Phase::Extracting) => "Extracting",
            (Words::Push, Phase::Complete) => "Pushed",
            (Words::Load, Phase::Complete) => "Loaded",
            (Words::Save, Phase::Complete) => "Saved",
            (Words::Copy, Phase::Complete) => "Copied",
            (Words::Pull, Phase::Complete) => "Pull complete",
            (Words::Push, Phase::Existed) => "Layer already exists",
            (_, Phase::Existed) => "Already exists",
            (_, Phase::Mounted) => "Mounted",
        };
        text.to_owned()
    }

    /// The lines that a phase is worth when output is piped: those without a moving bar.
    pub fn plain(self, phase: Phase) -> Vec<String> {
        match (self, phase) {
            (_, Phase::Downloading | Phase::Uploading | Phase::Extracting) | (Words::Load | Words::Save, _) => {
                Vec::new()
            }
            // Those were told for all layers before the push began.
            (Words::Push, Phase::Queued) | (Words::Push, Phase::DownloadComplete) => Vec::new(),
            (Words::Copy, Phase::Queued | Phase::DownloadComplete) => Vec::new(),
            (_, Phase::DownloadComplete) => vec!["Verifying Checksum".to_owned(), self.status(phase)],
            _ => vec![self.status(phase)],
        }
    }
}

/// Which blobs are shown, and under which names.
#[derive(Clone, Debug)]
pub enum Shown {
    /// All but the first, which is the configuration: the mover tells of it before the layers. Named by their digests.
    Layers,
    /// These, by what docker calls them.
    Known(HashMap<Digest, String>),
    /// All.
    All,
}

/// Names the blobs of one transfer as its events come.
#[derive(Clone, Debug)]
pub struct LayerNames {
    shown: Shown,
    configuration: Option<Digest>,
    /// Whether the image's configuration was here already: then layers that are here are no news.
    is_known: bool,
}

impl LayerNames {
    /// For a transfer of which these blobs are shown.
    pub fn new(shown: Shown) -> LayerNames {
        LayerNames { shown, configuration: None, is_known: false }
    }

    /// The name of the event's blob; `None` for what is not shown.
    pub fn name(&mut self, event: &ProgressEvent) -> Option<String> {
        let name = match &self.shown {
            Shown::All => Some(event.digest.short()),
            Shown::Known(names) => names.get(&event.digest).cloned(),
            Shown::Layers => {
                let configuration = *self.configuration.get_or_insert(event.digest);
                if configuration == event.digest {
                    self.is_known |= event.phase == Phase::Existed;
                    return None;
                }
                Some(event.digest.short())
            }
        };
        name.filter(|_| !self.is_known || event.phase != Phase::Existed)
    }
}

/// The names under which docker shows the layers of a push: their diff IDs.
pub fn diff_id_names(layers: &[(Digest, DiffId)]) -> HashMap<Digest, String> {
    layers.iter().map(|(blob, diff_id)| (*blob, diff_id.0.short())).collect()
}

/// Distinct layers in docker's order, the topmost first.
pub fn topmost_first(layers: &[(Digest, DiffId)]) -> Vec<(Digest, DiffId)> {
    let mut seen = HashSet::new();
    layers.iter().rev().filter(|(blob, _)| seen.insert(*blob)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(words: Words, phases: &[Phase]) -> Vec<String> {
        phases.iter().flat_map(|phase| words.plain(*phase)).collect()
    }

    #[test]
    fn the_lines_of_a_layer() {
        let pulled = [
            Phase::Queued,
            Phase::Waiting,
            Phase::Downloading,
            Phase::Retrying { seconds: 2 },
            Phase::Retrying { seconds: 1 },
            Phase::DownloadComplete,
            Phase::Extracting,
            Phase::Complete,
        ];
        assert_eq!(
            lines(Words::Pull, &pulled),
            [
                "Pulling fs layer",
                "Waiting",
                "Retrying in 2 seconds",
                "Retrying in 1 second",
                "Verifying Checksum",
                "Download complete",
                "Pull complete"
            ]
        );
        assert_eq!(lines(Words::Pull, &[Phase::Existed]), ["Already exists"]);
        assert_eq!(lines(Words::Push, &[Phase::Queued, Phase::Uploading, Phase::Complete]), ["Pushed"]);
        assert_eq!(lines(Words::Push, &[Phase::Existed, Phase::Mounted]), ["Layer already exists", "Mounted"]);
        assert_eq!(lines(Words::Load, &pulled), [""; 0]);
    }
}
