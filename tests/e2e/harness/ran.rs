//! A command that has run to its end.

use super::Program;

/// What a program did that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) async fn of(mut program: Program) -> Self {
        let code = program.ended().await.code();
        Self { code, stdout: program.stdout(), stderr: program.stderr() }
    }

    /// Checks that it went well, and returns what it said.
    pub(crate) fn said(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{}", self.stdout);
        self.stdout
    }

    pub(crate) fn code_is(&self, code: i32) {
        assert_eq!(self.code, Some(code), "{self:?}");
    }

    /// Checks that it failed, with one line that says why.
    pub(crate) fn failed(self, code: i32, reason: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.stderr.contains(reason) && self.stderr.lines().count() == 1, "{self:?}");
    }

    /// The same, and it printed a text before.
    pub(crate) fn failed_with(self, code: i32, reason: &str, text: &str) {
        assert!(self.stdout.contains(text), "{self:?}");
        self.failed(code, reason);
    }
}
