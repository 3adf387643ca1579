//! Which model of which book a call's names mean, and the names that were looked up lately.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use twox_hash::XxHash3_64;

use super::book::{Book, Place};

/// Longest name that is looked up, in bytes: no provider and no model has a longer one.
const NAME_BYTES_MAX: usize = 256;
/// Most lookups that are kept. They are dropped together when there are more: the ones in use come back.
const LOOKUPS_MAX: usize = 4_096;

/// The names by which a call's price is found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) provider: &'a str,
    /// The model that answered.
    pub(super) response_model: &'a str,
    /// The model asked for.
    pub(super) request_model: &'a str,
}

/// Where the price of a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) book: usize,
    pub(super) place: Place,
    /// Whether the model that answered was found, and not only the one asked for.
    pub(super) by_response: bool,
}

/// Looks the names up, in each book before the next one, first by the model that answered.
pub(super) fn find(books: &[Book], names: Names<'_>) -> Option<Found> {
    if [names.provider, names.response_model, names.request_model].iter().any(|name| name.len() > NAME_BYTES_MAX) {
        return None;
    }
    let provider = names.provider.trim().to_lowercase();
    let models = [(true, names.response_model), (false, names.request_model)].map(|(by_response, model)| {
        let model = model.trim().to_lowercase();
        (by_response, model)
    });
    books.iter().enumerate().find_map(|(book, of)| {
        models.iter().filter(|(_, model)| !model.is_empty()).find_map(|(by_response, model)| {
            let place = place(of, &provider, model)?;
            Some(Found { book, place, by_response: *by_response })
        })
    })
}

fn place(book: &Book, provider: &str, model: &str) -> Option<Place> {
    let by_model = || book.model(book.provider_of_model(model)?, model);
    // LiteLLM names the provider before the model
    let prefixed = model.split_once('/').filter(|_| provider == "litellm");
    match (provider, prefixed.and_then(|(prefix, model)| Some((seller(book, prefix)?, model)))) {
        (_, Some((seller, model))) => book.model(seller, model),
        ("" | "unknown" | "litellm", None) => by_model(),
        (_, None) => book.model(seller(book, provider)?, model),
    }
}

/// The provider of a name: by its id before the rules, of which one takes `azure.ai.openai` for OpenAI.
fn seller(book: &Book, name: &str) -> Option<usize> {
    let by_id = |id: &str| book.providers.iter().position(|provider| *provider.id == *id);
    by_id(name).or_else(|| by_id(book_name(name)?)).or_else(|| book.provider(name))
}

/// What genai-prices calls a provider of the conventions.
///
/// Source: genai, `gen_ai.provider.name`; names of LiteLLM and of the Vercel AI SDK.
fn book_name(provider: &str) -> Option<&'static str> {
    Some(match provider {
        "azure.ai.openai" | "azure.ai.inference" | "azure" => "azure",
        "gcp.gen_ai" | "gcp.gemini" | "gcp.vertex_ai" => "google",
        "aws.bedrock" | "bedrock_converse" => "aws",
        "x_ai" => "x-ai",
        "mistral_ai" => "mistral",
        "moonshot_ai" => "moonshotai",
        "together_ai" | "togetherai" | "together.ai" => "together",
        "fireworks_ai" | "fireworks.ai" => "fireworks",
        "github_copilot" => "github-copilot",
        "z_ai" | "z.ai" => "zai",
        "zhipu" | "zhipu_ai" | "bigmodel" => "zhipuai",
        "cohere_chat" => "cohere",
        "voyage" | "voyage_ai" => "voyageai",
        "meta_llama" => "meta",
        _ => return None,
    })
}

/// What was looked up lately.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    by_hash: RwLock<HashMap<u64, Lookup>>,
}

#[derive(Debug)]
struct Lookup {
    names: [Box<str>; 3],
    found: Option<Found>,
}

impl Lookups {
    /// Looks the names up, or remembers what was found.
    pub(super) fn find(&self, books: &[Book], names: Names<'_>) -> Option<Found> {
        let all = [names.provider, names.response_model, names.request_model];
        let hash = all.iter().fold(0, |seed, name| XxHash3_64::oneshot_with_seed(seed, name.as_bytes()));
        let known = self.by_hash.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) = known.get(&hash).filter(|lookup| lookup.names.iter().zip(all).all(|(a, b)| **a == *b)) {
            return lookup.found;
        }
        drop(known);
        let found = find(books, names);
        if all.iter().all(|name| name.len() <= NAME_BYTES_MAX) {
            let mut known = self.by_hash.write().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= LOOKUPS_MAX {
                known.clear();
            }
            known.insert(hash, Lookup { names: all.map(Into::into), found });
        }
        found
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_hash.read().unwrap().len()
    }
}
