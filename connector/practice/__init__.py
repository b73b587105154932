"""The practice tracker: a small, strict tracker that speaks the part of Jira's REST API v2 and webhooks we use.

The demo and the tests run it. It imports nothing from the other rooms, so that it stays an independent opinion of
what Jira does: where Jira refuses or silently drops something, so does this. State lives in memory.

    clock = PracticeClock()
    with PracticeServer(sample_world(clock, "cloud")) as server:
        requests.get(f"{server.url}/rest/api/2/issue/CASE-1", auth=server.world.connector_auth)
"""
