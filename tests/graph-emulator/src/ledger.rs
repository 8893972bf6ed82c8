//! Opaque tokens that were handed out, and what each stands for.

use std::collections::{HashMap, VecDeque};

use rollcall_ambient::Ambient;

/// The most tokens of one kind that are kept: enough for ten scans of a million users at once. The
/// oldest goes first, as a service drops its state too.
const TOKENS_MAX: usize = 10_000;

/// Tokens with their meaning.
pub(crate) struct Ledger<T> {
    meanings: HashMap<String, T>,
    oldest_first: VecDeque<String>,
}

impl<T> Ledger<T> {
    pub(crate) fn new() -> Self {
        Self {
            meanings: HashMap::new(),
            oldest_first: VecDeque::new(),
        }
    }

    pub(crate) fn put(&mut self, token: String, meaning: T) {
        if self.oldest_first.len() >= TOKENS_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.meanings.remove(&oldest);
        }
        self.oldest_first.push_back(token.clone());
        self.meanings.insert(token, meaning);
    }

    pub(crate) fn get(&self, token: &str) -> Option<&T> {
        self.meanings.get(token)
    }

    pub(crate) fn get_mut(&mut self, token: &str) -> Option<&mut T> {
        self.meanings.get_mut(token)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.meanings.values_mut()
    }
}

/// So many random characters of the alphabet that base64 for URLs has.
pub(crate) fn random_text(ambient: &Ambient, length: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    /// Ten characters of six bits are in one draw.
    const PER_DRAW: usize = 10;
    let mut text = String::with_capacity(length + PER_DRAW);
    while text.len() < length {
        let mut bits = ambient.random_u64();
        for _ in 0..PER_DRAW {
            text.push(char::from(ALPHABET[usize::from(bits as u8 & 63)]));
            bits >>= 6;
        }
    }
    text.truncate(length);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_token_goes_when_there_are_too_many() {
        let mut ledger = Ledger::new();
        for number in 0..=TOKENS_MAX {
            ledger.put(number.to_string(), number);
        }
        assert_eq!(ledger.get("0"), None);
        assert_eq!(ledger.get("1"), Some(&1));
        assert_eq!(ledger.meanings.len(), TOKENS_MAX);
    }

    #[test]
    fn a_random_text_has_the_length_that_was_asked_for() {
        let ambient = Ambient::system();
        let text = random_text(&ambient, 33);
        assert_eq!(text.len(), 33);
        assert_ne!(text, random_text(&ambient, 33));
    }
}
