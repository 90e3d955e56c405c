//! What docker calls the states of a layer.

use strata_transfer::Phase;

/// In whose words progress is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    Pull,
    Push,
    Load,
    Save,
    Copy,
}

impl Words {
    /// The status of a phase; empty when there is nothing to say.
    pub(crate) fn status(self, phase: Phase) -> String {
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
    pub(crate) fn plain(self, phase: Phase) -> Vec<String> {
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
