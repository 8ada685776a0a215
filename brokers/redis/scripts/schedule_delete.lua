-- schedule_delete: forget schedules. Their runs stay.
-- args: { {schedule, ...}, who }
-- returns: how many there were
-- needs: documents schedules
local ids, who = unpack(args)
local deleted = 0
for _, id in ipairs(ids) do
  local owner = look(sched(id), 'o')[1]
  drop('due', id)
  drop('scheds', id)
  if owner then redis.pcall('SREM', P .. 'scheds:' .. owner, id) end
  redis.call('DEL', P .. 'fired:' .. id)
  if redis.call('DEL', sched(id)) == 1 then
    deleted = deleted + 1
    note_in_audit(who, 'deleted', 'schedule', id)
    schedule_happened('deleted', id, owner)
  end
end
write_events()
return cmsgpack.pack(deleted)
