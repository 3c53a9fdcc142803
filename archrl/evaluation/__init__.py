"""From the rows of a rollout to statistics, tables and figures. Import the submodule that is needed.

`records`, `statistics`, `tables` and `figures` read rows only: none of them sees an environment or a policy.
"""
