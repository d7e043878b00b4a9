//! `look_up_answer`: an earlier answer in the place of a new one, where the agent says that it may be.

use cache::alike::Question;
use cache::form::Form;
use cache::private::{has_personal, is_private};
use cache::{Keeping, KeyMaker, Lead, Looked, Shelf};
use domain::cache::{Came, Matching, Rules, Told, Wish};
use domain::interaction::{GuardrailVerdict, Outcome};
use domain::signal::step;
use registry::texts::Contact;
use std::sync::Arc;

use crate::cached::{Kept, Origin, Said, common, patience, without_call};
use crate::parts::Pipeline;
use crate::run::closing::Ending;
use crate::run::known::Known;
use crate::steps::generate::Asked;
use crate::trace::Word;
use crate::turn::TurnError;

/// What looking came to.
struct Looking {
    told: Told,
    found: Option<Arc<Said>>,
    /// Leave to keep a new answer, and the question that others are compared with.
    keeps: Option<(Lead<Kept>, Option<Question>)>,
}

impl Looking {
    fn nothing(came: Came, keeps: Option<(Lead<Kept>, Option<Question>)>) -> Self {
        Self { told: Told::new_answer(came), found: None, keeps }
    }
}

impl Word for Looking {
    fn word(&self) -> &'static str {
        self.told.came.name()
    }
}

/// Bytes of an answer beside its texts.
const AROUND_BYTES: usize = 512;

impl Pipeline {
    /// An earlier answer, or a new one.
    pub(super) async fn answer_or_repeat(
        &self,
        asked: &Asked<'_>,
        known: &mut Known<'_>,
    ) -> Result<Ending, TurnError> {
        let only_if_cached = asked.turn.cache == Wish::OnlyIfCached;
        let Some(rules) = asked.serving.loaded.agent.cache else {
            return if only_if_cached {
                Err(TurnError::NotCached)
            } else {
                Ok(self.answer(asked, known).await)
            };
        };
        let looking = Box::pin(self.look(asked, &known.guardrail, rules));
        let looking = asked.trace.step(step::CACHE, looking).await;
        self.parts.cached.answers.count(looking.told.came);
        if let Some(said) = looking.found {
            let started = asked.trace.now().since(asked.trace.started());
            known.attempts.add_cached(said.origin.again(looking.told.came, started));
            asked.listener.text(said.response.clone()).await;
            return Ok(Ending {
                spoken: Some(without_call(&said.spoken)),
                citations: said.citations.clone(),
                quality: said.quality.clone(),
                cache: Some(looking.told),
                ..Ending::said(Outcome::Answered, said.response.clone())
            });
        }
        if only_if_cached {
            return Err(TurnError::NotCached);
        }
        let ending = self.answer(asked, known).await;
        if let Some((lead, question)) = looking.keeps {
            keep((asked, known), &ending, lead, Keeping { bytes: 0, ttl: rules.ttl, question });
        }
        Ok(Ending { cache: Some(looking.told), ..ending })
    }

    async fn look(&self, asked: &Asked<'_>, guardrail: &GuardrailVerdict, rules: Rules) -> Looking {
        let (turn, answers) = (asked.turn, &self.parts.cached.answers);
        let is_guarded = *guardrail != GuardrailVerdict::default();
        let contact = contact_texts(&asked.snapshot.contact);
        if turn.cache == Wish::NoStore || is_guarded || has_personal(asked.question, &contact) {
            return Looking::nothing(Came::Bypass, None);
        }
        let within = within(asked, rules);
        let key = passages(within.clone(), asked).text("question", asked.question).key();
        let question = self.question(asked, within, rules).await;
        if turn.cache == Wish::Refresh {
            return Looking::nothing(Came::Miss, Some((answers.renew(key), question)));
        }
        let holds = |kept: &Kept| rests_on_what_was_found(kept, asked);
        let shelf = Shelf { key, question: question.as_ref(), holds: &holds };
        let clock = &self.parts.clock;
        let patience = clock.sleep_until(patience(clock.now(), turn.models_due()));
        match answers.look(shelf, patience).await {
            Looked::Given(given) => match given.value {
                Kept::Said(said) => {
                    let told = Told { came: given.came, age: Some(given.age) };
                    Looking { told, found: Some(said), keeps: None }
                }
                Kept::Passed(_) => Looking::nothing(Came::Miss, None),
            },
            Looked::Lead(lead) => Looking::nothing(Came::Miss, Some((lead, question))),
            Looked::Alone => Looking::nothing(Came::Miss, None),
        }
    }

    /// The question as it is compared with others, where the agent wants that and it stands alone.
    async fn question(&self, asked: &Asked<'_>, within: KeyMaker, rules: Rules) -> Option<Question> {
        let Matching::Semantic { likeness_min } = rules.matching else { return None };
        if !asked.earlier.is_empty() {
            return None;
        }
        let embedder = (self.parts.cached.sentences)()?;
        let embedding = embedder.embed(vec![asked.question.to_owned()]);
        let vectors = match self.parts.before(asked.turn.models_due(), embedding).await? {
            Ok(vectors) => vectors,
            Err(error) => {
                tracing::warn!(%error, "the question has no vector, only the same question gets its answer");
                return None;
            }
        };
        let vector = vectors.into_iter().next()?.into();
        let within = within.text("model", embedder.model().as_str()).key();
        Some(Question { within, vector, form: Form::of(asked.question), likeness_min })
    }
}

/// All that the answer depends on beside the question and what was found for it.
fn within(asked: &Asked<'_>, rules: Rules) -> KeyMaker {
    let (turn, agent) = (asked.turn, &asked.serving.loaded.agent);
    let allowed = turn.principal.grant.residency.narrowed(&agent.residency).narrowed(&turn.residency);
    let from = (&turn.principal.asker, &allowed, asked.snapshot.id.as_str());
    common("agent", rules, from)
        .text("agent", &agent.version.to_string())
        .maybe("intent", asked.intent.map(str::as_bytes))
        .maybe("max_tokens", turn.max_tokens.map(u32::to_be_bytes).as_ref().map(<[u8; 4]>::as_slice))
        .maybe("temperature", turn.temperature.map(f32::to_be_bytes).as_ref().map(<[u8; 4]>::as_slice))
}

/// With the earlier questions it refers to and the passages that were found.
fn passages(key: KeyMaker, asked: &Asked<'_>) -> KeyMaker {
    let key = asked.earlier.iter().fold(key, |key, earlier| key.text("earlier", earlier));
    let passages = asked.passages.iter();
    passages.fold(key, |key, passage| {
        key.text("document", passage.document.as_str()).text("passage", &passage.text)
    })
}

/// Whether what an earlier answer cites was found for this question, too.
fn rests_on_what_was_found(kept: &Kept, asked: &Asked<'_>) -> bool {
    let Kept::Said(said) = kept else { return false };
    said.citations.iter().all(|citation| {
        let cited = &citation.passage;
        let place = (&cited.document, &cited.version, cited.start);
        asked.passages.iter().any(|passage| (&passage.document, &passage.version, passage.start) == place)
    })
}

/// Keeps an answer that holds and is nobody's own; all others are for their own caller alone.
fn keep((asked, known): (&Asked<'_>, &Known<'_>), ending: &Ending, lead: Lead<Kept>, keeping: Keeping) {
    let is_clean = ending.is_sound && known.guardrail == GuardrailVerdict::default();
    let mut texts = asked.allowed_texts();
    texts.extend(asked.passage_texts());
    let origin = Origin::of(&known.attempts.ended());
    match (origin, &ending.spoken) {
        (Some(origin), Some(spoken)) if is_clean && !is_private(&ending.response, &texts) => {
            let cited: usize = ending.citations.iter().map(|citation| citation.passage.text.len()).sum();
            let bytes = ending.response.len() + cited + AROUND_BYTES;
            let said = Said {
                response: ending.response.clone(),
                citations: ending.citations.clone(),
                quality: ending.quality.clone(),
                spoken: spoken.clone(),
                origin,
            };
            lead.keep(Kept::Said(Arc::new(said)), Keeping { bytes, ..keeping });
        }
        _ => lead.give_up(),
    }
}

fn contact_texts(contact: &Contact) -> [&str; 3] {
    [&contact.phone, &contact.email, &contact.web].map(String::as_str)
}
