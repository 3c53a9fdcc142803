"""Learning agents: networks, Stable-Baselines3 adapters, trainers. Installed under the name `archrl_agents`.

The only room that imports torch and Stable-Baselines3, and it does so in its modules, not here. `train_config` and
`run_folder` need neither.
"""
