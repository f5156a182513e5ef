-- Records when the status of an account changed. An account that was never active becomes provisioned again when it is
-- no longer suspended.
-- Called by: the trigger mailroom_account_status_changed, with the rights of the role that updates accounts.
-- Returns: the new row.
CREATE OR REPLACE FUNCTION mailroom_account_status_changed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.status_changed_at := mailroom_epoch();
    IF NEW.status = 'suspended' THEN
        NEW.suspended_at := mailroom_epoch();
        NEW.unsuspended_at := NULL;
    ELSIF OLD.status = 'suspended' AND NEW.status = 'active' THEN
        NEW.unsuspended_at := mailroom_epoch();
        NEW.suspended_at := NULL;
        IF NEW.activated_at IS NULL THEN
            NEW.status := 'provisioned';
        END IF;
    ELSIF OLD.status = 'provisioned' AND NEW.status = 'active' THEN
        NEW.activated_at := mailroom_epoch();
    END IF;
    RETURN NEW;
END $$;
