"""The processes of the mesh: a gateway and three tiers, strangers to one another."""
