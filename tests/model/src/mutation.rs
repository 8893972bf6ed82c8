//! Ways to break the protocol. The model has to notice each of them: a model that finds nothing
//! wrong with a broken protocol says nothing about a whole one.

/// One line of the protocol taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// A write does not ask whether its lease is still its own.
    NoLeaseCheck,
    /// A grant has the token of the one before.
    TokenStays,
    /// A lease is given for a run that has completed.
    LeaseAfterTheEnd,
    /// A run starts while another is active.
    RunsSideBySide,
    /// The head of a run that is given up is cleared without revoking its batches.
    NoRevocation,
    /// A new generation begins without revoking the batches of the one before.
    NoRevocationBetweenGenerations,
    /// The finalizer takes whatever list of batches there is for a whole one that is done.
    NoProof,
    /// The finalizer does not compare what the workers counted with what was enumerated.
    CountsAreNotCompared,
    /// A list of batches that reads empty is taken for an enumeration of nobody, and for one of which
    /// nothing is open.
    EmptyListIsNobody,
    /// Who was not seen is not asked for by id.
    AbsenceIsEvidence,
    /// One run that does not find somebody is enough.
    OneRunIsEnough,
    /// A worker switches off whom it sees disabled.
    WorkersSwitchOff,
    /// The plan is carried out without the step to APPLYING.
    NoApplyingState,
    /// A run can fail while its plan is carried out.
    FailsWhileApplying,
    /// The sweeper does not finish giving up what has FAILED.
    FailedRunsAreForgotten,
    /// An approval does not ask whether another run is active.
    ApprovedBesideARun,
    /// An approval does not raise the token.
    ApprovalKeepsTheToken,
    /// An approval asks neither the head nor the run whether the plan still waits.
    NobodyAsksWhetherItWaits,
    /// An approval does not ask for the plan's hash.
    AnyPlanIsMeant,
    /// An approved plan is carried out without asking about its users again.
    NobodyIsAskedAnew,
    /// The guards are asked of an approved plan too.
    GuardsAskAgain,
    /// Nobody asks whether a plan still waits that is rejected or lapses.
    DroppedInTheMiddle,
    /// A run is taken back while its plan waits for a person.
    RevertsWhatWaits,
    /// A run that has failed is taken back before its batches are revoked.
    RevertsWhatIsActive,
    /// A revert begins while another one is under way.
    RevertsSideBySide,
    /// A reverter does not ask whether its lease is still its own.
    RevertsWithoutTheLease,
    /// A revert writes whom somebody changed since.
    RevertsWhoChangedSince,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 27] = [
        Self::NoLeaseCheck,
        Self::TokenStays,
        Self::LeaseAfterTheEnd,
        Self::RunsSideBySide,
        Self::NoRevocation,
        Self::NoRevocationBetweenGenerations,
        Self::NoProof,
        Self::CountsAreNotCompared,
        Self::EmptyListIsNobody,
        Self::AbsenceIsEvidence,
        Self::OneRunIsEnough,
        Self::WorkersSwitchOff,
        Self::NoApplyingState,
        Self::FailsWhileApplying,
        Self::FailedRunsAreForgotten,
        Self::ApprovedBesideARun,
        Self::ApprovalKeepsTheToken,
        Self::NobodyAsksWhetherItWaits,
        Self::AnyPlanIsMeant,
        Self::NobodyIsAskedAnew,
        Self::GuardsAskAgain,
        Self::DroppedInTheMiddle,
        Self::RevertsWhatWaits,
        Self::RevertsWhatIsActive,
        Self::RevertsSideBySide,
        Self::RevertsWithoutTheLease,
        Self::RevertsWhoChangedSince,
    ];

    /// The design of the incident of August 2024: the list of batches was deleted by one that
    /// finished early, the next one read it empty, and who is not in a list has left.
    pub const THE_INCIDENT: [Self; 2] = [Self::EmptyListIsNobody, Self::AbsenceIsEvidence];
}
