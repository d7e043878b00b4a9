//! Names that telemetry uses, each written once.

/// The steps of a turn, as they stand in traces, metrics, records and the console.
pub mod step {
    /// Turns it away for want of places or memory; a turn that gets in has no such step.
    pub const ADMIT: &str = "admit";
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
    /// Looks for an earlier answer; only where the agent says so.
    pub const CACHE: &str = "look_up_answer";
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
    /// All, for reading records.
    pub const ALL: [&str; 13] = [
        ADMIT,
        CAPTURE,
        GUARD_INPUT,
        INTENT,
        CLARITY,
        RETRIEVE,
        CACHE,
        GENERATE,
        GUARD_OUTPUT,
        VALIDATE,
        QUALITY,
        RECORD,
        FEEDBACK,
    ];
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
    /// Seconds for which a target that asked to slow down is still left alone.
    pub const TARGET_QUOTA: &str = "mainstay_target_quota_seconds";
    /// Calls of a target under way.
    pub const TARGET_CALLS: &str = "mainstay_target_calls";
    /// Most calls of a target at once, as of now.
    pub const TARGET_CALLS_MAX: &str = "mainstay_target_calls_max";
    /// Calls that were not made, by target and reason.
    pub const TARGET_REFUSED: &str = "mainstay_target_refused";
    /// Second calls beside slow ones, by result.
    pub const HEDGES: &str = "mainstay_hedges";
    /// Requests that wait for their answer, by route.
    pub const ROUTE_REQUESTS: &str = "mainstay_route_requests";
    /// Most of them at once, as of now, by route.
    pub const ROUTE_REQUESTS_MAX: &str = "mainstay_route_requests_max";
    /// Requests that wait for a place, by route.
    pub const ROUTE_WAITING: &str = "mainstay_route_waiting";
    /// Requests that were turned away, by reason and class.
    pub const SHED: &str = "mainstay_shed";
    /// Requests that were refused for want of a rate, of places, of money or of a price, by level and reason.
    pub const LIMITED: &str = "mainstay_limited";
    /// What is left of budgets: of the server's, of each tenant's, and of the key's that has least left.
    pub const BUDGET_REMAINING: &str = "mainstay_budget_remaining_usd";
    /// Memory in use that cannot be taken back.
    pub const MEMORY_USED: &str = "mainstay_memory_used_bytes";
    /// Memory that may be used.
    pub const MEMORY_LIMIT: &str = "mainstay_memory_limit_bytes";
    /// Requests for which an earlier answer was looked for, by what came of it.
    pub const CACHE_REQUESTS: &str = "mainstay_cache_requests";
    /// Requests that waited for the answer to another one that asked the same.
    pub const CACHE_WAITED: &str = "mainstay_cache_waited";
    /// Answers that are kept.
    pub const CACHE_ENTRIES: &str = "mainstay_cache_entries";
    /// Bytes of the answers that are kept.
    pub const CACHE_SIZE: &str = "mainstay_cache_size_bytes";
    /// What answers that were given again had cost the first time, in US dollars.
    pub const CACHE_SAVED: &str = "mainstay_cache_saved_usd";
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
    /// When the certificate that the server shows ends, in seconds since 1970.
    pub const CERTIFICATE_EXPIRY: &str = "mainstay_certificate_expiry_timestamp_seconds";
    /// Requests that were not let in, by reason.
    pub const REQUESTS_DENIED: &str = "mainstay_requests_denied";
    /// Answers generated again.
    pub const REGENERATIONS: &str = "mainstay_regenerations";
    /// Records that could not be written.
    pub const UNRECORDED: &str = "mainstay_unrecorded";
    /// Spans that no collector got.
    pub const TELEMETRY_DROPPED: &str = "mainstay_telemetry_spans_dropped";
    /// Exports to collectors, by result.
    pub const TELEMETRY_EXPORTS: &str = "mainstay_telemetry_exports";
    /// Seconds of one step, by step.
    pub const STEP_DURATION: &str = "mainstay_step_duration_seconds";
}
