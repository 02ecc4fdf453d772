"""What is said of a membership."""

import datetime as dt

import numpy as np

from twin.clock import utc_s
from twin.community.status import member_status
from twin.members import Communities


def test_what_is_not_as_usual_is_said_in_local_time():
    communities = Communities(
        name=("c",),
        kind=("CER",),
        cp=np.array([0]),
        cp_name=("CP",),
        member_home=np.arange(4),
        member_community=np.zeros(4, dtype=np.int64),
        member_first_step=np.array([0, 0, 96, 0]),
        member_end_step=np.array([192, 96, 500, 192]),
        member_opted_out=np.array([False, False, False, True]),
        member_delay_steps=np.array([0, 2, 0, 0]),
        silent=np.array([[3, 4, 8]]),
    )

    start = utc_s(dt.date(2016, 7, 4))
    assert member_status(communities, start_utc_s=start, dt_s=900, n_steps=192) == (
        "",
        "left on 5 Jul 2016, 00:00; messages arrive 30 min late",
        "joined on 5 Jul 2016, 00:00",
        "has opted out of guidance; silent from 4 Jul 2016, 01:00 to 4 Jul 2016, 02:00",
    )
