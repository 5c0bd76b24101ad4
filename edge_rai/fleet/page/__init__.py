"""The fleet's pages: made on the server, without scripts, safe against whatever devices call themselves."""
