//! What every engine of the store must do, as one suite run for each of them by [`conformance!`].
//!
//! `samples` makes what is written; the other files hold the cases, one for each port or rule.

pub(crate) mod breakers;
pub(crate) mod feedback;
pub(crate) mod keys;
pub(crate) mod knowledge;
pub(crate) mod ledger;
pub(crate) mod listing;
pub(crate) mod retention;
pub(crate) mod samples;
pub(crate) mod sessions;
pub(crate) mod spending;
pub(crate) mod tenants;
pub(crate) mod turns;

use std::sync::Arc;

use domain::ports::{BreakerLog, Keys, PassageStore, Records, Sessions, Spending};

/// All ports of a store.
pub(crate) trait Ports: Sessions + Records + PassageStore + BreakerLog + Keys + Spending {}

impl<T: Sessions + Records + PassageStore + BreakerLog + Keys + Spending> Ports for T {}

/// An engine with one empty database.
pub(crate) trait Engine {
    /// A new, empty database.
    fn new() -> Self;
    /// Opens it. What was written through an earlier store of this engine is there.
    fn open(&self) -> Arc<dyn Ports>;
}

/// Makes a test of every case for one engine. A case that is not listed is dead code, which does not compile.
macro_rules! conformance {
    ($engine:ty) => {
        $crate::conformance::conformance! { @cases $engine;
            turns: whole_turn_is_read_back, unknown_is_none, second_write_changes_nothing,
                odd_texts_are_kept, bare_turn_is_read_back, writes_outlive_a_restart,
                many_at_once_are_all_kept, many_together_are_all_kept, probe_writes;
            sessions: new_without_id, continues_with_messages, unknown_or_expired_is_new,
                foreign_user_gets_a_new_one, unclaimed_is_claimed, another_users_turn_does_not_touch_it,
                message_id_is_answered_once, recent_are_the_last, late_turn_does_not_shorten_it,
                never_half_a_turn;
            listing: newest_first_in_stable_pages, filters_combine, limit_is_kept;
            feedback: needs_its_interaction, is_read_back, filters_and_order, same_id_changes_nothing;
            retention: none_drops_texts, session_texts_expire, expired_sessions_go_with_messages,
                expiry_of_many;
            ledger: holds_every_call_of_every_turn, pages_go_on_where_they_ended, a_tenant_sees_its_own,
                sums_are_those_of_the_turns;
            spending: sums_are_by_asker_and_time, the_last_reset_counts;
            knowledge: collection_is_replaced, collections_are_apart, same_id_twice_is_refused,
                vectors_are_kept_by_model, vectors_outlive_unchanged_chunks, large_collection;
            breakers: newest_entry_stays;
            keys: are_read_back_in_order, change_needs_the_newest_head, a_taken_id_changes_nothing,
                dropped_ones_are_gone_with_the_change;
            tenants: see_only_their_own_turns, learn_nothing_by_anothers_cursor, never_share_a_session;
        }
    };
    (@cases $engine:ty; $($module:ident: $($case:ident),+;)+) => {
        $(mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let engine = <$engine as $crate::conformance::Engine>::new();
                $crate::conformance::$module::$case(&engine).await;
            })+
        })+
    };
}
pub(crate) use conformance;
