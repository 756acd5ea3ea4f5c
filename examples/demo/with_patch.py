"""Runs app.py, unedited, behind the one line."""

import runpy

import gevent.monkey

from kazoo_gevent_patch import patch_all

gevent.monkey.patch_all()
patch_all()

runpy.run_module("examples.demo.app", run_name="__main__")
