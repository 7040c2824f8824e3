"""The claims of publications, one publication a file."""

from study.claims.published import (  # noqa: F401  (registers them)
    ash2021,
    cai2020,
    chuang2020,
    controls,
    huynh2020,
    kalantidis2020,
    nozawa2021,
    robinson2021,
    wang2021,
    yeh2021,
)
