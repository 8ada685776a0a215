-- leave: a worker has ended in peace.
-- args: { name of it or of one of its consumers, ... }
-- returns: nothing
-- needs: worker_events
for _, name in ipairs(args) do
  worker_is_gone(name, 'stopped')
  worker_is_gone(worker_of(name), 'stopped')
end
write_events()
return cmsgpack.pack(0)
