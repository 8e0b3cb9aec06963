# SPDX-License-Identifier: MIT
"""Rules by name. A rule is a function that yields what in a pod breaks it, or nothing."""


class Rules(dict):
    def add(self, function):
        self[function.__name__.replace("_", "-")] = function
        return function
