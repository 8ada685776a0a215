-- document_note: a line in the audit about a definition that was not changed: that somebody asked for its secrets.
-- args: { kind, id, what, who }
-- returns: 1
-- needs: documents
local kind, id, what, who = unpack(args)
note_in_audit(who, what, kind, id)
return cmsgpack.pack(1)
