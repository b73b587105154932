"""What an admin may write as a scope, for each kind of tracker: checked at load, and read by adapters that must."""
