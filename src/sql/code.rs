//! ClickHouse's error codes, as far as this program raises or recognises them. Source: ClickHouse `src/Common/ErrorCodes.cpp`.

/// An error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// As in `Code: 60.`
    pub number: u32,
    /// As in `(UNKNOWN_TABLE)`
    pub name: &'static str,
}

impl Code {
    /// The code of this number, if it is one of these.
    #[must_use]
    pub fn of_number(number: u32) -> Option<Self> {
        ALL.iter().copied().find(|code| code.number == number)
    }
}

macro_rules! codes {
    ($($number:literal $name:ident)*) => {
        $(
            #[doc = concat!("Code ", stringify!($number), ".")]
            pub const $name: Code = Code { number: $number, name: stringify!($name) };
        )*
        const ALL: &[Code] = &[$($name),*];
    };
}

codes! {
    3 UNEXPECTED_END_OF_FILE
    6 CANNOT_PARSE_TEXT
    16 NO_SUCH_COLUMN_IN_TABLE
    27 CANNOT_PARSE_INPUT_ASSERTION_FAILED
    32 ATTEMPT_TO_READ_AFTER_EOF
    33 CANNOT_READ_ALL_DATA
    36 BAD_ARGUMENTS
    40 CHECKSUM_DOESNT_MATCH
    48 NOT_IMPLEMENTED
    53 TYPE_MISMATCH
    57 TABLE_ALREADY_EXISTS
    60 UNKNOWN_TABLE
    62 SYNTAX_ERROR
    73 UNKNOWN_FORMAT
    81 UNKNOWN_DATABASE
    89 UNKNOWN_COMPRESSION_METHOD
    107 FILE_DOESNT_EXIST
    115 UNKNOWN_SETTING
    117 INCORRECT_DATA
    159 TIMEOUT_EXCEEDED
    164 READONLY
    202 TOO_MANY_SIMULTANEOUS_QUERIES
    203 NO_FREE_CONNECTION
    209 SOCKET_TIMEOUT
    210 NETWORK_ERROR
    216 QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING
    225 NO_ZOOKEEPER
    229 QUERY_IS_TOO_LARGE
    236 ABORTED
    241 MEMORY_LIMIT_EXCEEDED
    242 TABLE_IS_READ_ONLY
    243 NOT_ENOUGH_SPACE
    252 TOO_MANY_PARTS
    271 CANNOT_DECOMPRESS
    279 ALL_CONNECTION_TRIES_FAILED
    285 TOO_FEW_LIVE_REPLICAS
    290 LIMIT_EXCEEDED
    319 UNKNOWN_STATUS_OF_INSERT
    344 SUPPORT_IS_DISABLED
    358 INTO_OUTFILE_NOT_ALLOWED
    372 SESSION_NOT_FOUND
    373 SESSION_IS_LOCKED
    374 INVALID_SESSION_TIMEOUT
    395 FUNCTION_THROW_IF_VALUE_IS_NON_ZERO
    396 TOO_MANY_ROWS_OR_BYTES
    425 SYSTEM_ERROR
    452 SETTING_CONSTRAINT_VIOLATION
    469 VIOLATED_CONSTRAINT
    497 ACCESS_DENIED
    511 UNKNOWN_ROLE
    516 AUTHENTICATION_FAILED
    667 NOT_INITIALIZED
    744 SESSION_ID_EMPTY
    999 KEEPER_EXCEPTION
    1002 UNKNOWN_EXCEPTION
}
