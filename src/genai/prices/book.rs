//! A book of prices: providers, their models, and how they are found by their names.

use super::form::{Form, FormError, ModelForm, ProviderForm, RuleForm};
use super::rule::{Rule, with_dashed_dates};
use super::schedule::Schedule;

/// Prices of one source.
#[derive(Debug)]
pub struct Book {
    /// What `PriceBook` calls it.
    pub(super) name: Box<str>,
    pub(super) providers: Box<[Provider]>,
}

/// Somebody who sells calls of models.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) id: Box<str>,
    /// Other names of it.
    rule: Option<Rule>,
    /// Names of models that only this provider has.
    model_rule: Option<Rule>,
    /// Providers whose models it sells too, by their place.
    fallback: Box<[usize]>,
    pub(super) models: Box<[Model]>,
}

/// A model of a provider.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) id: Box<str>,
    pub(super) rule: Rule,
    pub(super) schedule: Schedule,
}

/// Where a model stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The provider that sells it.
    pub(super) seller: usize,
    /// The provider whose model it is.
    pub(super) provider: usize,
    pub(super) model: usize,
}

impl Book {
    /// Makes a book of what is written in a file, which has this name if it gives itself none.
    ///
    /// # Errors
    /// If a rule, a date, a key or a price in it is wrong.
    pub fn new(form: Form, name: &str) -> Result<Self, FormError> {
        let ids: Vec<String> = form.providers.iter().map(|provider| provider.id.to_lowercase()).collect();
        let providers = form.providers.into_iter().map(|provider| Provider::new(provider, &ids));
        let name = form.book.as_deref().unwrap_or(name).into();
        Ok(Self { name, providers: providers.collect::<Result<_, _>>()? })
    }

    /// Checks every regular expression, which are compiled only when they are needed.
    ///
    /// # Errors
    /// If one of them is not one.
    pub fn check_patterns(&self) -> Result<(), FormError> {
        for provider in &self.providers {
            let of_models = provider.models.iter().map(|model| (Some(model), &model.rule));
            let own = [&provider.rule, &provider.model_rule].into_iter().flatten().map(|rule| (None, rule));
            for (model, rule) in own.chain(of_models) {
                for pattern in rule.patterns() {
                    pattern.check().map_err(|error| {
                        let model = model.map_or_else(String::new, |model| format!(".models.{}", model.id));
                        FormError::new(format!("providers.{}{model}.match", provider.id), error.to_string())
                    })?;
                }
            }
        }
        Ok(())
    }

    /// The provider of a name in lower case: by its id, else by the first rule that holds.
    pub(super) fn provider(&self, name: &str) -> Option<usize> {
        let by_id = self.providers.iter().position(|provider| *provider.id == *name);
        by_id.or_else(|| self.first(name, |provider| provider.rule.as_ref()))
    }

    /// The provider that alone has models of such a name.
    pub(super) fn provider_of_model(&self, model: &str) -> Option<usize> {
        self.first(model, |provider| provider.model_rule.as_ref())
    }

    fn first(&self, name: &str, rule: impl Fn(&Provider) -> Option<&Rule>) -> Option<usize> {
        self.providers.iter().position(|provider| rule(provider).is_some_and(|rule| rule.holds(name)))
    }

    /// The model of a name in lower case that a provider sells: one of its own, else one of those it falls back to.
    pub(super) fn model(&self, seller: usize, name: &str) -> Option<Place> {
        let place = self.model_named(seller, name);
        place.or_else(|| self.model_named(seller, &with_dashed_dates(name)?))
    }

    fn model_named(&self, seller: usize, name: &str) -> Option<Place> {
        let own = |provider: usize| {
            let models = &self.providers.get(provider)?.models;
            let model = models.iter().position(|model| model.rule.holds(name))?;
            Some(Place { seller, provider, model })
        };
        own(seller).or_else(|| self.providers.get(seller)?.fallback.iter().find_map(|provider| own(*provider)))
    }

    /// What stands at a place of this book.
    pub(super) fn at(&self, place: Place) -> Option<(&Provider, &Model)> {
        let provider = self.providers.get(place.provider)?;
        Some((provider, provider.models.get(place.model)?))
    }
}

impl Provider {
    fn new(form: ProviderForm, ids: &[String]) -> Result<Self, FormError> {
        let entry = format!("providers.{}", form.id);
        let place = |name: &String| {
            let place = ids.iter().position(|id| *id == name.to_lowercase());
            place.ok_or_else(|| FormError::new(format!("{entry}.fallback"), format!("there is no provider {name:?}")))
        };
        let fallback = form.fallback.iter().map(place).collect::<Result<_, _>>()?;
        let models = form.models.into_iter().map(|model| Model::new(model, &entry)).collect::<Result<_, _>>()?;
        Ok(Self {
            id: form.id.to_lowercase().into(),
            rule: form.rule.map(RuleForm::into_rule),
            model_rule: form.model_match.map(RuleForm::into_rule),
            fallback,
            models,
        })
    }
}

impl Model {
    fn new(mut form: ModelForm, entry: &str) -> Result<Self, FormError> {
        let schedule = form.schedule(&format!("{entry}.models.{}", form.id))?;
        let by_id = || Rule::Equals(form.id.to_lowercase().into());
        let rule = form.rule.take().map_or_else(by_id, RuleForm::into_rule);
        Ok(Self { id: form.id.into(), rule, schedule })
    }
}
