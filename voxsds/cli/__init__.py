"""The command `voxsds`: builds in and out, cameras, pictures, words, and a check of the installation.

Commands import what they need when they run, so that --help and completion do not wait for torch.
"""
