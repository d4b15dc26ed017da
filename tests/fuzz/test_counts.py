"""How many cases there are: at least 100 of each kind, and 2,000 in all. Each kind's test asserts that it ran as many as stand here."""

import test_config_values
import test_image_files
import test_stores_and_weights


def test_there_are_a_hundred_cases_of_each_kind_and_two_thousand_in_all():
    kinds = {"config values": sum(test_config_values.CASES.values()), **test_image_files.CASES}
    kinds |= test_stores_and_weights.NAMES | test_stores_and_weights.UNVERIFIED | test_stores_and_weights.WEIGHTS
    print("\n".join(f"{kind:<32}{count:>6}" for kind, count in kinds.items()), f"\n{'in all':<32}{sum(kinds.values()):>6}")
    assert len(kinds) == 16 and min(kinds.values()) >= 100 and sum(kinds.values()) >= 2000
