"""Functions that Spark has and that are refused by name, each with what to do instead."""

from __future__ import annotations

from hanse.sql.rendering.call import Function, refused

__all__ = ["REFUSALS"]

_RANDOM = "its numbers cannot be the same on both engines; hash a column instead"
_FORMAT = "write the parts with lpad, round and concat"
_HASH = "DuckDB has no such hash; use md5, sha1 or sha2"
_JSON = "read the file with hanse load, or keep structs"
_ENGINE = "it tells of Spark itself"

REFUSALS: dict[str, Function] = {
    name: refused(why)
    for why, names in {
        _RANDOM: "rand random randn shuffle uuid randstr uniform monotonically_increasing_id spark_partition_id",
        _FORMAT: "format_number format_string printf to_number to_char to_varchar try_to_number",
        _HASH: "hash xxhash64 crc32",
        _JSON: "from_json schema_of_json json_tuple get_json_object to_json json_array_length json_object_keys "
        "from_csv to_csv schema_of_csv from_xml to_xml xpath xpath_string parse_json variant_get try_parse_json",
        _ENGINE: "version current_catalog current_database current_schema current_user session_user user "
        "input_file_name typeof assert_true raise_error java_method reflect",
        "it depends on the day; give the date as a parameter": "current_timezone",
        "group by a window of time with date_trunc": "window session_window window_time",
        "aggregate in a subquery instead": "approx_top_k hll_sketch_agg histogram regr_avgx regr_avgy regr_count "
        "regr_sxx regr_sxy regr_syy try_avg try_sum bitmap_construct_agg bitmap_or_agg",
        "write the pattern with split and element_at": "sentences parse_url url_encode url_decode soundex",
        "DuckDB has no such cipher": "aes_encrypt aes_decrypt try_aes_decrypt",
        "DuckDB's bytes read otherwise": "encode",
    }.items()
    for name in names.split()
}
"""By name; every one of them raises UnsupportedError."""
