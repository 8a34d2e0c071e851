//! What the properties must catch, or they show nothing.

/// A way to do it wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// 202 before the server has the message.
    AnswerBeforeStored,
    /// The delivery is acknowledged before its result is stored.
    AckBeforeRecord,
    /// The delivery is acknowledged before its next attempt is stored.
    AckBeforeDelay,
    /// The delivery is acknowledged before the call is in the backlog.
    AckBeforeOverflow,
    /// An event is acknowledged when a call of it begins.
    EventIsAckedFirst,
    /// A call gets its lease while it is still looked up.
    LeaseBeforeLook,
    /// The record says dead before the dead letter is stored.
    RecordBeforeDeadLetter,
    /// The stream of records takes a second one.
    RecordsAreReplaced,
    /// A repeated delivery is run without a look at the record.
    NoLookUp,
    /// A repeated delivery is run without a question to the other worker.
    NobodyIsAsked,
    /// Two workers that ask each other at the same moment both go on.
    NobodyYields,
    /// What is due is acknowledged without having been put into its lane.
    DueIsForgotten,
    /// What is found in the lane is taken for the call that is due, also if it is older.
    OlderIsTaken,
    /// A submit whose answer was lost is stored again without a look at what became of it.
    TriedAgainBlindly,
    /// A run that takes long gets a lease even if the call has become due elsewhere.
    DueIsOverlooked,
}
