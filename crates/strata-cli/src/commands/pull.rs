//! `pull`: from a registry into the store.

use std::sync::Arc;

use futures_util::StreamExt as _;
use strata_engine::{PullOutcome, PullRequest, Pulled, all_tags, plan_pull, pull};
use strata_format::size::human_size;
use strata_format::table;
use strata_model::{Platform, Reference};

use crate::command_line::{Arity, CommandDefinition, Completes, FlagKind, Flags};
use crate::context::Context;
use crate::output::{complain, print, print_line};
use crate::progress::{Display, LayerProgress, Shown, Words};
use crate::report::{Failure, Failures, Outcome};

/// How many images are pulled at the same time.
const AT_ONCE: usize = 3;

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new(
        "pull",
        "[OPTIONS] NAME[:TAG|@DIGEST]",
        "Download an image from a registry",
        |context, flags| Box::pin(run(context, flags)),
    )
    .completes(Completes::Images)
    .arity(Arity::OneOrMore)
    .on_workers()
    .flag("a/all-tags", FlagKind::Bool, "Download all tagged images in the repository")
    .flag("dry-run", FlagKind::Bool, "Show what would be fetched, how big it is, and what is here already")
    .flag("platform", FlagKind::Text("string"), "Set platform if server is multi-platform capable")
    .flag("q/quiet", FlagKind::Bool, "Suppress verbose output")
    .flag("verbose", FlagKind::Bool, "Show what is left of the registry's rate limit")
    .ignored_flag("disable-content-trust", FlagKind::Bool)
    .examples(&[
        ("pull nginx", "The image that the tag latest of nginx means"),
        ("pull nginx redis:7 ghcr.io/me/app", "Several images"),
        ("pull --platform linux/arm64 nginx", "For another platform; both stay under the tag"),
        ("pull --dry-run nginx", "What would be fetched"),
    ])
}

/// Pulls the image that a container is to be made from; all that is shown goes to stderr.
pub(super) async fn pull_for_run(
    context: &Context<'_>,
    name: &str,
    platform: Option<Platform>,
    is_quiet: bool,
) -> Outcome {
    let job = Job { context, platform, is_quiet, is_verbose: false };
    let reference = context.reference(name)?.with_default_tag();
    let progress = LayerProgress::new(Display::Silent, Words::Pull, Shown::Layers, None);
    let pulled = pull(context.store()?, context.client()?, &job.request(&reference), &*progress).await?;
    if is_quiet {
        return Ok(());
    }
    complain(&format!("Digest: {}", pulled.digest));
    match pulled.outcome {
        PullOutcome::UpToDate => complain(&format!("Status: Image is up to date for {}", reference.familiar())),
        PullOutcome::Downloaded => complain(&format!("Status: Downloaded newer image for {}", reference.familiar())),
    }
    Ok(())
}

/// What all names of one command line have in common.
struct Job<'a> {
    context: &'a Context<'a>,
    platform: Option<Platform>,
    is_quiet: bool,
    is_verbose: bool,
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let job = Job {
        context,
        platform: context.platform_or_default(flags)?,
        is_quiet: flags.is_set("quiet"),
        is_verbose: flags.is_set("verbose"),
    };
    let names = flags.arguments();
    let mut failures = Failures::default();
    if !flags.is_set("dry-run") && !flags.is_set("all-tags") {
        job.pull_together(&names, &mut failures).await;
        return failures.outcome();
    }
    for name in &names {
        failures.note(match flags.is_set("dry-run") {
            true => job.plan(name).await,
            false => job.pull_all_tags(name).await,
        });
    }
    failures.outcome()
}

/// One pull and its part of the screen.
struct Transfer {
    reference: Reference,
    /// Whether the user gave no tag.
    is_default: bool,
    progress: Arc<LayerProgress>,
}

impl Job<'_> {
    /// Pulls names side by side. Each has the screen for itself, in the order of the command line: what happens to the
    /// others meanwhile is shown when it is their turn.
    async fn pull_together(&self, names: &[String], failures: &mut Failures) {
        let transfers: Vec<Outcome<Transfer>> = names.iter().map(|name| self.transfer(name)).collect();
        let pulls = transfers.iter().flatten().map(|transfer| self.pull_one(transfer));
        let mut pulls = futures_util::stream::iter(pulls).buffered(AT_ONCE);
        for (name, transfer) in names.iter().zip(&transfers) {
            let outcome = match transfer {
                Err(failure) => Err(failure.clone()),
                Ok(transfer) => self.show(transfer, &mut pulls).await,
            };
            failures.note(if names.len() > 1 { outcome.map_err(|failure| failure.about(name)) } else { outcome });
        }
    }

    fn transfer(&self, name: &str) -> Outcome<Transfer> {
        let reference = self.context.reference(name)?;
        let is_default = reference.is_name_only();
        let reference = reference.with_default_tag();
        let progress = self.progress(&reference);
        progress.hold();
        Ok(Transfer { reference, is_default, progress })
    }

    /// Gives a transfer the screen until the next of `pulls`, which is its own, ends.
    async fn show(
        &self,
        transfer: &Transfer,
        pulls: &mut (impl futures_util::Stream<Item = Outcome<Pulled>> + Unpin),
    ) -> Outcome {
        if transfer.is_default && !self.is_quiet {
            print_line("Using default tag: latest")?;
        }
        transfer.progress.show();
        let pulled = pulls.next().await.ok_or_else(|| Failure::bare("a pull was not made"))?;
        let pulled = self.print_end(&transfer.reference, &transfer.progress, pulled)?;
        self.print_status(&transfer.reference.familiar(), pulled.outcome)?;
        print_line(&transfer.reference)
    }

    async fn pull_all_tags(&self, name: &str) -> Outcome {
        let reference = self.context.reference(name)?;
        if !reference.is_name_only() {
            return Err(Failure::bare("tag can't be used with --all-tags/-a"));
        }
        let mut outcome = PullOutcome::UpToDate;
        for tag in all_tags(self.context.client()?, &reference).await? {
            let reference = reference.with_tag(tag);
            let transfer = Transfer { progress: self.progress(&reference), reference, is_default: false };
            let pulled = self.pull_one(&transfer).await;
            if self.print_end(&transfer.reference, &transfer.progress, pulled)?.outcome == PullOutcome::Downloaded {
                outcome = PullOutcome::Downloaded;
            }
        }
        self.print_status(&reference.familiar_name(), outcome)?;
        print_line(reference.name())
    }

    fn progress(&self, reference: &Reference) -> Arc<LayerProgress> {
        let heading = match (reference.digest(), reference.tag()) {
            (None, Some(tag)) => format!("{tag}: Pulling from {}", reference.repository()),
            _ => format!("{reference}: Pulling from {}", reference.repository()),
        };
        LayerProgress::new(Display::choose(self.context, self.is_quiet), Words::Pull, Shown::Layers, Some(heading))
    }

    async fn pull_one(&self, transfer: &Transfer) -> Outcome<Pulled> {
        let client = self.context.client()?;
        Ok(pull(self.context.store()?, client, &self.request(&transfer.reference), &*transfer.progress).await?)
    }

    /// Ends the progress of a pull, up to the line with the digest.
    fn print_end(&self, reference: &Reference, progress: &LayerProgress, pulled: Outcome<Pulled>) -> Outcome<Pulled> {
        let pulled = match pulled {
            Ok(pulled) => pulled,
            Err(failure) => {
                progress.abandon();
                return Err(if progress.has_begun() { failure.without_prefix() } else { failure });
            }
        };
        progress.finish();
        if !self.is_quiet {
            print_line(format_args!("Digest: {}", pulled.digest))?;
        }
        if self.is_verbose {
            self.report_rate_limit(reference)?;
        }
        Ok(pulled)
    }

    fn request(&self, reference: &Reference) -> PullRequest {
        PullRequest {
            reference: reference.clone(),
            platform: self.platform.clone(),
            limits: self.context.limits(),
            view: self.context.view_policy(),
        }
    }

    fn print_status(&self, name: &str, outcome: PullOutcome) -> Outcome {
        match (self.is_quiet, outcome) {
            (true, _) => Ok(()),
            (false, PullOutcome::UpToDate) => print_line(format_args!("Status: Image is up to date for {name}")),
            (false, PullOutcome::Downloaded) => print_line(format_args!("Status: Downloaded newer image for {name}")),
        }
    }

    fn report_rate_limit(&self, reference: &Reference) -> Outcome {
        let Some(limit) = self.context.client()?.rate_limit(reference.host()) else {
            complain(&format!("Rate limit: {} tells none", reference.host()));
            return Ok(());
        };
        let number = |count: Option<u64>| count.map_or("?".to_owned(), |count| count.to_string());
        let window = limit.window_seconds.map(|seconds| format!(" in {} hours", seconds / 3600)).unwrap_or_default();
        let source = limit.source.map(|source| format!(", counted for {source}")).unwrap_or_default();
        complain(&format!(
            "Rate limit: {} of {} pulls left{window}{source}",
            number(limit.remaining),
            number(limit.limit)
        ));
        Ok(())
    }

    /// Prints what a pull would fetch.
    async fn plan(&self, name: &str) -> Outcome {
        let reference = self.context.reference(name)?.with_default_tag();
        let plan = plan_pull(self.context.store()?, self.context.client()?, &self.request(&reference)).await?;
        let mut rows = String::from("LAYER\tSIZE\tSTATUS\n");
        let (mut missing, mut total) = (0, 0);
        for (position, (blob, is_here)) in plan.blobs.iter().enumerate() {
            total += blob.size;
            missing += if *is_here { 0 } else { blob.size };
            let name = if position == 0 { "config".to_owned() } else { blob.digest.short() };
            let status = if *is_here { "Already exists" } else { "Would be fetched" };
            rows.push_str(&format!("{name}\t{}\t{status}\n", human_size(blob.size as f64)));
        }
        let platform = plan.platform.map(|platform| format!(" ({platform})")).unwrap_or_default();
        print(&format!(
            "{}{platform}\nDigest: {}\n{}To be fetched: {} of {}\n",
            reference.familiar(),
            plan.digest,
            table::align(&rows),
            human_size(missing as f64),
            human_size(total as f64)
        ))
    }
}
