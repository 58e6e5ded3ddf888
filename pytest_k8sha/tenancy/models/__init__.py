"""Tenancy models: how tenants come to be, and what isolation they promise. One file a model."""
