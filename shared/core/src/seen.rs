//! The keys of a page's unchanged users, packed: in their order, each as its distance from the one before, by
//! [Rice's code](https://en.wikipedia.org/wiki/Golomb_coding). The order in which 999 users stood need not be told,
//! which is worth a byte a user.

/// How many bits of an object's key a page has. DynamoDB bills a transaction by the kilobyte, twice: with these
/// a page of 999 users fits six of them beside a link of 1.5 KB. With fewer, a large tenant's users and those of
/// another would have some in common by chance (of two tenants of a million, one pair in seventy has today), and a
/// list of strangers has to be seen as one.
pub const SEEN_KEY_BITS: u32 = 46;

/// How many bits of a distance are told as they are: about as many as it has in the mean, for keys are spread
/// evenly. What is above them is counted.
const fn plain_bits(count: usize) -> u32 {
    SEEN_KEY_BITS.saturating_sub(usize::BITS - count.leading_zeros())
}

/// The keys as bytes; `None` if one is too large for a key. Their order is not kept.
pub(crate) fn pack(keys: &[u64]) -> Option<Vec<u8>> {
    let mut sorted = keys.to_vec();
    sorted.sort_unstable();
    if sorted.last().is_some_and(|last| last >> SEEN_KEY_BITS != 0) {
        return None;
    }
    let plain = plain_bits(keys.len());
    let mut bits = BitWriter::default();
    let mut before = 0;
    for key in sorted {
        let distance = key - before;
        for _ in 0..distance >> plain {
            bits.push(true);
        }
        bits.push(false);
        for at in (0..plain).rev() {
            bits.push(distance >> at & 1 == 1);
        }
        before = key;
    }
    Some(bits.bytes)
}

/// So many keys from the bytes that [`pack`] made, in ascending order, and the bytes behind them. `None` if
/// the bytes are cut off or hold something else.
pub(crate) fn unpack(count: usize, bytes: &[u8]) -> Option<(Vec<u64>, &[u8])> {
    // Each key takes a bit at least: a count that is not so asks for no memory.
    if count > bytes.len().saturating_mul(8) {
        return None;
    }
    let plain = plain_bits(count);
    let mut bits = BitReader { bytes, at: 0 };
    let mut keys = Vec::with_capacity(count);
    let mut key = 0u64;
    for _ in 0..count {
        let mut distance = 0u64;
        while bits.next()? {
            distance += 1;
            if distance >> (SEEN_KEY_BITS - plain) != 0 {
                return None;
            }
        }
        for _ in 0..plain {
            distance = distance << 1 | u64::from(bits.next()?);
        }
        key = key.checked_add(distance)?;
        if key >> SEEN_KEY_BITS != 0 {
            return None;
        }
        keys.push(key);
    }
    Some((keys, bits.rest()?))
}

#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    /// How many bits of the last byte are taken, 8 or 0 if all are.
    taken: u8,
}

impl BitWriter {
    fn push(&mut self, bit: bool) {
        if self.taken.is_multiple_of(8) {
            self.bytes.push(0);
            self.taken = 0;
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit) << (7 - self.taken);
        }
        self.taken += 1;
    }
}

struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    fn next(&mut self) -> Option<bool> {
        let byte = *self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1 == 1;
        self.at += 1;
        Some(bit)
    }

    /// What comes after the byte that was read last. Its bits that were not read are 0.
    fn rest(mut self) -> Option<&'a [u8]> {
        while !self.at.is_multiple_of(8) {
            if self.next()? {
                return None;
            }
        }
        Some(&self.bytes[self.at / 8..])
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const KEY_MAX: u64 = (1 << SEEN_KEY_BITS) - 1;

    proptest! {
        #[test]
        fn keys_read_back_in_ascending_order_with_what_is_behind_them(
            keys in vec(prop_oneof![0..=KEY_MAX, 0..8u64, KEY_MAX - 8..=KEY_MAX], 0..300),
            behind in vec(any::<u8>(), 0..4),
        ) {
            let mut sorted = keys.clone();
            sorted.sort_unstable();
            let mut bytes = pack(&keys).unwrap();
            bytes.extend_from_slice(&behind);
            prop_assert_eq!(unpack(keys.len(), &bytes), Some((sorted, behind.as_slice())));
        }

        #[test]
        fn whatever_is_read_is_what_its_keys_are_packed_to_or_nothing(
            count in 0..20usize,
            bytes in vec(any::<u8>(), 0..100),
        ) {
            if let Some((keys, rest)) = unpack(count, &bytes) {
                let read = &bytes[..bytes.len() - rest.len()];
                let again = pack(&keys);
                prop_assert_eq!(again.as_deref(), Some(read));
            }
        }
    }

    #[test]
    fn keys_that_are_cut_off_are_none_and_never_fewer() {
        let keys: Vec<_> = (0..50).map(|n| n * 1_000_000_000_001).collect();
        let bytes = pack(&keys).unwrap();
        for end in 0..bytes.len() {
            assert_eq!(unpack(keys.len(), &bytes[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn a_key_that_is_too_large_is_refused_and_never_becomes_another() {
        assert_eq!(pack(&[1, KEY_MAX + 1]), None);
    }

    /// So many that the number runs over and would be read as another one.
    #[test]
    fn a_distance_that_counts_beyond_every_key_is_none() {
        let mut bytes = vec![0xFF; (1 << 19) / 8];
        bytes.extend_from_slice(&[0; 6]);
        assert_eq!(unpack(1, &bytes), None);
    }

    #[test]
    fn a_full_page_takes_five_bytes_a_user() {
        let spread = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 18;
        let keys: Vec<_> = (1..=999).map(spread).collect();
        assert!(pack(&keys).unwrap().len() < 999 * 5);
    }
}
