"""How fast mailroom is, beside what a user could pick instead. `make bench` prints the table.

What depends on the machine is a ratio of two things measured in turn within one run: machines differ and are noisy.

    figures     pure: what was measured, in how many runs, and whether its target holds
    table       pure: figures to text
    plot        figures to pictures
    record      figures to JSON and back, with the machine that they are from
    server      a PostgreSQL that keeps its promises (fsync on), databases to measure in
    answers     pure: what a local SES answers, and how many recipients its rate allows
    endpoint    that SES, which costs little CPU, in a process of its own
    programs    the two programs, as users start them
    drain, latency, signup, pipeline, sender, growth, cost, idle    the suites, one subject each: how fast it can be
    order, rate, outstanding    suites in which SES's rate is the limit
    rivals      what is measured beside: workers of other queues, bare loops
"""
