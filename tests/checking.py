"""The type checker that the import hook puts on the package: an int is welcome where a float is, as Python says."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
