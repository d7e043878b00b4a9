//! What stands in a request's path at the places that its door leaves open.

use axum::extract::FromRequestParts;
use http::request::Parts;
use matchit::Params;
use percent_encoding::percent_decode_str;

use crate::problem::Problem;

/// As they were sent, in the door's order; a request carries them among its extensions.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    /// The path as the table writes it, which names them: `/admin/v1/keys/{id}`.
    path: &'static str,
    texts: Box<[String]>,
}

impl Sent {
    /// `None` where the door leaves no place open.
    pub(crate) fn of(path: &'static str, parameters: &Params<'_, '_>) -> Option<Self> {
        let texts: Box<[_]> = parameters.iter().map(|(_, value)| value.to_owned()).collect();
        (!texts.is_empty()).then_some(Self { path, texts })
    }

    fn decoded(&self) -> Result<Vec<String>, Problem> {
        let names = self.path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
        let names = names.map(|name| name.trim_start_matches('*'));
        names.zip(&self.texts).map(|(name, text)| decoded(name, text)).collect()
    }
}

/// What stands there, decoded: a text, or two.
pub(crate) struct Path<T>(pub(crate) T);

/// What a door's open places are read as.
pub(crate) trait FromPlaces: Sized {
    /// `None` when there are not as many.
    fn from_places(places: Vec<String>) -> Option<Self>;
}

impl FromPlaces for String {
    fn from_places(places: Vec<String>) -> Option<Self> {
        let [place] = <[String; 1]>::try_from(places).ok()?;
        Some(place)
    }
}

impl FromPlaces for (String, String) {
    fn from_places(places: Vec<String>) -> Option<Self> {
        <[String; 2]>::try_from(places).ok().map(Into::into)
    }
}

impl<S: Send + Sync, T: FromPlaces> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let places = parts.extensions.get::<Sent>().map(Sent::decoded).transpose()?;
        let read = T::from_places(places.unwrap_or_default()).map(Self);
        read.ok_or_else(|| Problem::internal("a door reads other places than its path leaves open"))
    }
}

fn decoded(name: &str, text: &str) -> Result<String, Problem> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(Into::into)
        .map_err(|_| Problem::bad_parameter(format!("`{name}` in the path: it is not UTF-8 text")))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    async fn read<T: FromPlaces>(path: &'static str, texts: &[&str]) -> Result<T, String> {
        let mut request = Request::new(());
        let texts = texts.iter().map(|&text| text.to_owned()).collect();
        request.extensions_mut().insert(Sent { path, texts });
        let (mut parts, ()) = request.into_parts();
        let read = Path::from_request_parts(&mut parts, &()).await;
        read.map(|Path(read)| read).map_err(|problem| problem.json())
    }

    #[tokio::test]
    async fn places_are_decoded_and_what_is_no_text_is_refused() {
        for (sent, want) in [
            ("int_1", Ok("int_1")),
            ("arn%3Aaws%3Abedrock%2Fx", Ok("arn:aws:bedrock/x")),
            ("100%25", Ok("100%")),
            ("%C3%A9", Ok("é")),
            ("%ff", Err("`id` in the path: it is not UTF-8 text")),
        ] {
            match (read::<String>("/model/{*id}", &[sent]).await, want) {
                (Ok(read), Ok(want)) => assert_eq!(read, want),
                (Err(told), Err(want)) => assert!(told.contains(want), "{told}"),
                (read, _) => panic!("{sent}: {read:?}"),
            }
        }
        let both = read::<(String, String)>("/{provider}/{model}/reset", &["openai", "gpt%2F5"]).await;
        assert_eq!(both, Ok(("openai".to_owned(), "gpt/5".to_owned())));
        assert!(read::<(String, String)>("/keys/{id}", &["one"]).await.is_err());
        let second = read::<(String, String)>("/{level}/{id}", &["key", "%ff"]).await;
        assert!(second.is_err_and(|told| told.contains("`id` in the path")));
    }
}
