//! Names that telemetry uses, each written once.

/// The steps of a turn, as they stand in traces, metrics, records and the console.
pub mod step {
    /// Reads the query and its session.
    pub const CAPTURE: &str = "capture_user_query";
    /// Input guardrails.
    pub const GUARD_INPUT: &str = "check_guardrail_status";
    /// What the person wants.
    pub const INTENT: &str = "detect_intent";
    /// Whether it is clear enough to answer.
    pub const CLARITY: &str = "check_intent_clarity";
    /// Finds passages (runs beside the intent).
    pub const RETRIEVE: &str = "retrieve";
    /// Asks a model.
    pub const GENERATE: &str = "generate_response";
    /// Output guardrails.
    pub const GUARD_OUTPUT: &str = "check_output";
    /// Scores the answer.
    pub const VALIDATE: &str = "validate_quality";
    /// Accepts it, has it generated again, or quotes.
    pub const QUALITY: &str = "check_quality";
    /// Writes the record.
    pub const RECORD: &str = "record";
    /// Takes feedback.
    pub const FEEDBACK: &str = "collect_feedback";
}

/// Metrics, with their units in their names.
pub mod metric {
    /// Requests by door and outcome.
    pub const REQUESTS: &str = "mainstay_requests";
    /// Seconds from accepting to replying, by door.
    pub const REQUEST_DURATION: &str = "mainstay_request_duration_seconds";
    /// Calls to targets by target and result.
    pub const UPSTREAM_ATTEMPTS: &str = "mainstay_upstream_attempts";
    /// Breaker states: 0 closed, 1 half-open, 2 open.
    pub const BREAKER_STATE: &str = "mainstay_breaker_state";
    /// Seconds to the first token by target.
    pub const TIME_TO_FIRST_TOKEN: &str = "mainstay_time_to_first_token_seconds";
    /// Tokens by kind.
    pub const TOKENS: &str = "mainstay_tokens";
    /// Cost in US dollars.
    pub const COST: &str = "mainstay_cost_usd";
    /// Calls whose cost is not known.
    pub const UNPRICED: &str = "mainstay_unpriced_requests";
    /// Static answers by use case.
    pub const DEGRADED: &str = "mainstay_degraded";
    /// Guardrail verdicts by side and action.
    pub const GUARDRAIL_VERDICTS: &str = "mainstay_guardrail_verdicts";
    /// Answers generated again.
    pub const REGENERATIONS: &str = "mainstay_regenerations";
    /// Records that could not be written.
    pub const UNRECORDED: &str = "mainstay_unrecorded";
    /// Seconds of one step, by step.
    pub const STEP_DURATION: &str = "mainstay_step_duration_seconds";
}
