-- progress: record how far attempts have come. One whose ticket is not the record's, or whose run has ended, is ignored.
-- args: { {run, ticket, value}, ... }; returns: nothing
-- needs: blocks
for _, note in ipairs(args) do
  local id, ticket, value = unpack(note)
  local key = record(id)
  local status, current = unpack(look(key, 's', 'e'))
  if status and current == ticket and not SETTLED[status] then redis.call('HSET', key, 'h', ticket .. '\0' .. value) end
end
return cmsgpack.pack(0)
