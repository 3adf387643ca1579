//! What calls cost whose sender does not say.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ConfigError;
use crate::genai::prices::{Amount, Book, Form, FormError, Prices, named};

/// Where prices come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PricesConfig {
    /// Whether costs are computed.
    pub enabled: bool,
    /// A YAML file of own prices, which come before those that are built in.
    pub overrides: Option<PathBuf>,
    /// What the prices of a provider are multiplied by: 0.9 is ten percent less.
    pub discount: BTreeMap<String, Amount>,
}

impl Default for PricesConfig {
    fn default() -> Self {
        Self { enabled: true, overrides: None, discount: BTreeMap::new() }
    }
}

impl PricesConfig {
    /// Reads the prices; none when no costs are computed.
    ///
    /// # Errors
    /// If the file of overrides cannot be read, or something in it or in a discount is wrong; the message names the entry.
    pub fn load(&self) -> Result<Option<Prices>, ConfigError> {
        if self.enabled { self.read().map(Some) } else { Ok(None) }
    }

    /// Reads the prices, whether costs are computed when calls come in or not.
    ///
    /// # Errors
    /// As [`PricesConfig::load`].
    pub fn read(&self) -> Result<Prices, ConfigError> {
        let own = self.overrides.as_ref().map(|path| {
            let cause = |cause| ConfigError::Read { path: path.clone(), cause };
            let text = std::fs::read_to_string(path).map_err(cause)?;
            let wrong = |what: String| ConfigError::Invalid(format!("prices.overrides: {}: {what}", path.display()));
            book(&text).map_err(wrong)
        });
        let own = own.transpose()?;
        let discount = self.discount.iter().map(|(provider, factor)| (provider.clone(), factor.0.clone())).collect();
        let wrong = |error: FormError| ConfigError::Invalid(format!("prices.{error}"));
        Prices::new(own.into_iter().collect(), &discount).map_err(wrong)
    }
}

/// Reads a file of own prices.
fn book(text: &str) -> Result<Book, String> {
    let mut track = serde_path_to_error::Track::new();
    let options = serde_saphyr::Options::default();
    let form: Result<Form, _> = serde_saphyr::with_deserializer_from_str_with_options(text, options, |yaml| {
        Form::deserialize(serde_path_to_error::Deserializer::new(yaml, &mut track))
    });
    let form = form.map_err(|error| format!("{}: {}", track.path(), error.without_snippet()))?;
    let book = Book::new(form, &named("overrides", text.as_bytes())).map_err(|error| error.to_string())?;
    book.check_patterns().map_err(|error| error.to_string())?;
    Ok(book)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(overrides: &str) -> Result<Prices, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), overrides).unwrap();
        let config = PricesConfig { overrides: Some(file.path().to_owned()), ..PricesConfig::default() };
        config.read().map_err(|error| error.to_string().replace(&*file.path().to_string_lossy(), "FILE"))
    }

    #[test]
    fn a_mistake_in_the_overrides_names_its_entry() {
        for (text, want) in [
            (
                "providers: [{id: p, models: [{id: m, prices: {input_mtok: dear}}]}]",
                "prices.overrides: FILE: providers.p.models.m.prices.input_mtok: \"dear\" is not a number",
            ),
            (
                "providers: [{id: p, models: [{id: m, match: {regex: '('}, prices: {input_mtok: 1}}]}]",
                "prices.overrides: FILE: providers.p.models.m.match: ",
            ),
            ("providers: [{id: p, models: [{id: m, price: {}}]}]", "prices.overrides: FILE: providers[0].models[0]"),
            (
                "providers: [{id: p, models: [{id: m, prices: 1}]}]",
                "prices.overrides: FILE: providers[0].models[0].prices: ",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(want), "{error}");
        }
        assert!(read("providers: [{id: p, models: [{id: m, prices: {input_mtok: 1}}]}]").is_ok());
    }

    #[test]
    fn a_file_that_is_not_there_and_a_discount_for_nobody_are_named() {
        let missing = PricesConfig { overrides: Some("/nowhere/prices.yaml".into()), ..PricesConfig::default() };
        assert_eq!(missing.read().unwrap_err().to_string(), "failed to read /nowhere/prices.yaml");
        let discount = BTreeMap::from([("opnai".to_owned(), Amount("0.9".to_owned()))]);
        let error = PricesConfig { discount, ..PricesConfig::default() }.read().unwrap_err().to_string();
        assert!(error.starts_with("prices.discount.opnai: ") && error.contains("openai"), "{error}");
        let off = PricesConfig { enabled: false, ..PricesConfig::default() };
        assert!(off.load().unwrap().is_none());
    }
}
