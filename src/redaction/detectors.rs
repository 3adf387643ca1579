//! What is found by its form, without being told: the forms, and the checks that sort out what only looks like it.

use crate::text::decode_base64;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, Ipv6Addr};

/// A kind of secret or personal text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detector {
    /// Keys and tokens of providers that begin in a way of their own.
    ApiKey,
    /// What follows `Bearer`, or `Authorization:`, and JSON web tokens.
    BearerToken,
    /// Private keys in PEM.
    PrivateKey,
    /// Addresses of mail.
    Email,
    /// Numbers of telephones: international, with a `+`, and those of North America.
    Phone,
    /// Numbers of payment cards, by their issuers' digits, lengths and check digit.
    CreditCard,
    /// Numbers of bank accounts, by their countries' lengths and check digits.
    Iban,
    /// IPv4 and IPv6.
    IpAddress,
}

impl Detector {
    /// All of them; those of longer texts come first, as the first of two that overlap stays.
    pub const ALL: [Self; 8] = [
        Self::PrivateKey,
        Self::BearerToken,
        Self::ApiKey,
        Self::Email,
        Self::Iban,
        Self::CreditCard,
        Self::Phone,
        Self::IpAddress,
    ];

    /// Its name in the configuration, in what stands in its place, and in what counts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::BearerToken => "bearer_token",
            Self::PrivateKey => "private_key",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::CreditCard => "credit_card",
            Self::Iban => "iban",
            Self::IpAddress => "ip_address",
        }
    }

    /// The form. A group named `secret` goes alone.
    pub(super) fn form(self) -> &'static str {
        match self {
            Self::ApiKey => API_KEY,
            Self::BearerToken => BEARER_TOKEN,
            Self::PrivateKey => PRIVATE_KEY,
            Self::Email => EMAIL,
            Self::Phone => PHONE,
            Self::CreditCard => CREDIT_CARD,
            Self::Iban => IBAN,
            Self::IpAddress => IP_ADDRESS,
        }
    }

    /// How much of a text of that form it is, from its start; nothing when it only looks like it.
    pub(super) fn accepted(self, found: &str) -> Option<usize> {
        match self {
            Self::ApiKey | Self::PrivateKey | Self::Email => Some(found.len()),
            Self::BearerToken => is_credential(found).then_some(found.len()),
            Self::Phone => is_phone(found).then_some(found.len()),
            Self::CreditCard => card(found),
            Self::Iban => iban(found),
            Self::IpAddress => is_address(found).then_some(found.len()),
        }
    }

    /// Whether a number that is no text may be one.
    pub(super) fn finds_numbers(self) -> bool {
        self == Self::CreditCard
    }
}

/// Sources: the prefixes that providers document for their keys, and those that the secret scanning of GitHub lists.
const API_KEY: &str = concat!(
    r"(?-u)\b(?:",
    // OpenAI, Anthropic, OpenRouter, DeepSeek, LiteLLM, Langfuse
    r"(?:sk|pk)-(?:[A-Za-z0-9]+-)*[A-Za-z0-9_-]{16,}",
    // Groq, xAI, Perplexity, Hugging Face, Replicate, NVIDIA, Tavily, Fireworks
    r"|(?:gsk_|xai-|pplx-|hf_|r8_|nvapi-|tvly-|fw_)[A-Za-z0-9_-]{20,}",
    // Google
    r"|AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,}",
    // AWS
    r"|(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}|ABSK[A-Za-z0-9+/=]{40,}",
    // GitHub, GitLab
    r"|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,}|glpat-[A-Za-z0-9_-]{20,}",
    // Slack, Stripe, SendGrid, npm, PyPI, DigitalOcean, Twilio
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}|[rs]k_(?:live|test)_[A-Za-z0-9]{16,}|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
    r"|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,}|do[opr]_v1_[a-f0-9]{64}|SK[0-9a-f]{32}",
    r")"
);

/// The last form is a header's value alone, as instrumentations keep headers.
const BEARER_TOKEN: &str = concat!(
    r"(?-u)(?i:\bbearer)(?:[ \t]|%20)+(?<secret>[A-Za-z0-9._~+/-]{12,}={0,2})",
    r#"|(?i:\bauthorization)["']?[ \t]*[:=][ \t]*["']?(?i:basic|token|apikey)(?:[ \t]|%20)+(?<secret2>[A-Za-z0-9._~+/:-]{6,}={0,2})"#,
    r"|\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
    r"|^(?i:basic)[ \t]+(?<secret3>[A-Za-z0-9+/]{2,}={0,2})$"
);

/// Up to its end or, of one that is cut, as far as it may go on.
const PRIVATE_KEY: &str = concat!(
    r"(?-u)-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----",
    r"[A-Za-z0-9+/=\\:,.\s-]*?-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----",
    r"|-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[A-Za-z0-9+/=\\\s]*"
);

/// Letters of scripts that are written with blanks between words. Of URLs the `@` is encoded. Source: RFC 6531, RFC 3986.
const EMAIL: &str = concat!(
    r"[\p{Latin}\p{Greek}\p{Cyrillic}\p{M}0-9._%+-]+(?:@|%40)",
    r"[\p{Latin}\p{Greek}\p{Cyrillic}\p{M}0-9](?:[\p{Latin}\p{Greek}\p{Cyrillic}\p{M}0-9-]*\.)+",
    r"(?:[A-Za-z][A-Za-z0-9-]{0,22}[A-Za-z0-9]|\p{Greek}{2,23}|\p{Cyrillic}{2,23})"
);

/// What stands between groups of digits: blanks, dashes, those that do not break a line, and a blank of a URL's query.
const BETWEEN: [char; 6] = [' ', '-', '+', '\u{a0}', '\u{202f}', '\u{2011}'];

const PHONE: &str = concat!(
    r"(?:\+|%2[Bb])[1-9](?:[ ().\-\u{a0}\u{202f}\u{2011}]{0,2}[0-9]){7,14}(?-u:\b)",
    r"|(?:(?-u:\b)|\()[2-9][0-9]{2}\)?[ .\-\u{a0}\u{202f}\u{2011}][2-9][0-9]{2}[ .\-\u{a0}\u{202f}\u{2011}][0-9]{4}(?-u:\b)"
);

const CREDIT_CARD: &str = r"(?-u:\b)[2-6][0-9](?:[ +\-\u{a0}\u{202f}\u{2011}]?[0-9]){11,17}(?-u:\b)";

const IBAN: &str = r"(?-u:\b)[A-Za-z]{2}[0-9]{2}(?:[ +\-\u{a0}\u{202f}\u{2011}]?[A-Za-z0-9]){11,30}(?-u:\b)";

const IP_ADDRESS: &str = concat!(
    r"(?-u)\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b",
    r"|(?:\b[0-9A-Fa-f]{1,4}|::)(?:::?[0-9A-Fa-f]{1,4}){2,7}(?:::)?(?:\.[0-9]{1,3}){0,3}\b"
);

fn digits(text: &str) -> impl Iterator<Item = u32> {
    text.chars().filter_map(|letter| letter.to_digit(10))
}

/// What stands alone after the word Basic is a name and a password. Source: RFC 7617.
fn is_credential(text: &str) -> bool {
    match text.get(..5).filter(|word| word.eq_ignore_ascii_case("basic")) {
        Some(_) => {
            text.split_ascii_whitespace().next_back().and_then(decode_base64).is_some_and(|pair| pair.contains(&b':'))
        }
        None => true,
    }
}

/// A number has 8 to 15 digits. Source: ITU-T E.164.
fn is_phone(text: &str) -> bool {
    // of a plus that is encoded the 2 is no digit
    let encoded = usize::from(text.starts_with('%'));
    (8..=15).contains(&digits(text).count().saturating_sub(encoded))
}

/// How much of the text is a card's number: a year or a code may follow, after a blank.
fn card(text: &str) -> Option<usize> {
    let ends = text.match_indices(BETWEEN).map(|(at, _)| at).chain([text.len()]);
    let ends: Vec<usize> = ends.collect();
    ends.into_iter().rev().find(|end| text.get(..*end).is_some_and(is_card))
}

/// Sources: ISO/IEC 7812 (the check digit), the ranges that Visa, Mastercard, American Express, Discover, JCB, Diners Club and
/// UnionPay document.
fn is_card(text: &str) -> bool {
    let digits: Vec<u32> = digits(text).collect();
    let front = |count: usize| digits.iter().take(count).fold(0, |number, digit| number * 10 + digit);
    let is_issued = match digits.len() {
        13 | 19 if front(1) == 4 => true,
        14 => matches!(front(2), 36 | 38 | 39) || (300..=305).contains(&front(3)),
        15 => matches!(front(2), 34 | 37),
        16 => {
            front(1) == 4
                || (51..=55).contains(&front(2))
                || (2_221..=2_720).contains(&front(4))
                || front(4) == 6_011
                || front(2) == 65
                || (644..=649).contains(&front(3))
                || (3_528..=3_589).contains(&front(4))
                || front(2) == 62
        }
        17..=19 => front(2) == 62,
        _ => false,
    };
    let sum = digits.iter().rev().enumerate().fold(0, |sum, (place, digit)| {
        let weighed = if place % 2 == 1 { digit * 2 } else { *digit };
        sum + weighed / 10 + weighed % 10
    });
    is_issued && sum % 10 == 0
}

/// Letters and digits of an account of each country. Source: SWIFT, IBAN Registry.
const IBAN_LENGTHS: &[(&[&str], usize)] = &[
    (&["NO"], 15),
    (&["BE"], 16),
    (&["DK", "FI", "FO", "GL", "NL", "SD"], 18),
    (&["MK", "SI"], 19),
    (&["AT", "BA", "EE", "KZ", "LT", "LU", "MN", "XK"], 20),
    (&["CH", "HR", "LI", "LV"], 21),
    (&["BG", "BH", "CR", "DE", "GB", "GE", "IE", "ME", "RS", "VA"], 22),
    (&["AE", "GI", "IL", "IQ", "OM", "SO", "TL"], 23),
    (&["AD", "CZ", "ES", "MD", "PK", "RO", "SA", "SE", "SK", "TN", "VG"], 24),
    (&["LY", "PT", "ST"], 25),
    (&["IS", "TR"], 26),
    (&["BI", "DJ", "FR", "GR", "IT", "MC", "MR", "SM"], 27),
    (&["AL", "AZ", "BY", "CY", "DO", "GT", "HU", "LB", "NI", "PL", "SV"], 28),
    (&["BR", "EG", "PS", "QA", "UA"], 29),
    (&["JO", "KW", "MU", "YE"], 30),
    (&["MT", "SC"], 31),
    (&["LC"], 32),
    (&["RU"], 33),
];

/// How much of the text is an account: what follows may look like a part of it. Source: ISO 13616.
fn iban(text: &str) -> Option<usize> {
    let country = text.get(..2)?.to_ascii_uppercase();
    let (_, length) = IBAN_LENGTHS.iter().find(|(countries, _)| countries.contains(&&*country))?;
    let letters = text.char_indices().filter(|(_, letter)| !BETWEEN.contains(letter));
    let account: Vec<(usize, char)> = letters.take(*length).collect();
    let (last, _) = account.last().filter(|_| account.len() == *length)?;
    let (front, rest) = account.split_at_checked(4)?;
    let remainder = rest.iter().chain(front).try_fold(0, |remainder, (_, letter)| {
        let value = letter.to_digit(36)?;
        Some((remainder * if value < 10 { 10 } else { 100 } + value) % 97)
    });
    let end = last + 1;
    let ends_here = text.as_bytes().get(end).is_none_or(|next| !next.is_ascii_alphanumeric());
    (remainder == Some(1) && ends_here).then_some(end)
}

/// Times and paths of programs look like short addresses of IPv6, so those have three groups or more and a digit.
fn is_address(text: &str) -> bool {
    if text.parse::<Ipv4Addr>().is_ok() {
        return true;
    }
    let groups = text.split(':').filter(|group| !group.is_empty()).count();
    groups >= 3 && text.bytes().any(|byte| byte.is_ascii_digit()) && text.parse::<Ipv6Addr>().is_ok()
}
